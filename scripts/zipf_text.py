#!/usr/bin/env python3
"""Writes a text of made-up words with the frequencies of a natural one, for timing large vocabularies.

Word n occurs in proportion to 1/n up to the 5,000th and to n^-1.7 from there, about as in WikiText-103;
every word occurs at least once. The same arguments give the same text.

    scripts/zipf_text.py --words 267733 --tokens 6000000 > zipf.txt
"""
import argparse
import itertools
import random
import sys

BEND = 5000


def weight(rank):
    head = min(rank, BEND) + 5
    return 1 / head if rank < BEND else 1 / head * (head / (rank + 5)) ** 1.7


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--words", type=int, default=267733, help="different words")
    parser.add_argument("--tokens", type=int, default=6000000, help="drawn, besides one of each")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--line", type=int, default=25, help="tokens in a line")
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    totals = list(itertools.accumulate(weight(rank) for rank in range(arguments.words)))
    tokens = random.choices(range(arguments.words), cum_weights=totals, k=arguments.tokens)
    tokens += range(arguments.words)
    random.shuffle(tokens)
    for at in range(0, len(tokens), arguments.line):
        sys.stdout.write(" ".join(f"w{n}" for n in tokens[at:at + arguments.line]) + "\n")


if __name__ == "__main__":
    main()
