#!/usr/bin/env python3
"""Cuts a slice in the form of the Penn Treebank out of any text: DIR/train.txt, valid.txt and
test.txt, one sentence a line, words separated by blanks, a closed vocabulary of the most frequent
words of the training part and <unk> for all others.

Takes the first tokens of TEXT after --offset, in order: training, then validation, then test, not
one line in two of them. A token is a word or the end of a line, as in the published counts
(929,589, 73,760 and 82,430), and each part holds exactly as many as asked for. The same text gives
the same slice. Needs the standard library only. Prints one JSON line: what each part holds.

Forms:
  ptb     as Mikolov's Penn Treebank: lower case, no punctuation, clitics apart ("do n't",
          "author 's"), numbers N, sentences apart where their end is plain to see
  words   words are what blanks separate, lines are lines: for text that is tokenised already
  auto    words if <unk> stands at the start of the text, as in WikiText-2, else ptb

Lines without words are left out. Longer lines than --line-words are cut: a text without lines gives
long lines, as the ends of short ones would be words that a model can know by counting.

Example:
  scripts/peers/word_slice.py books.txt --out slices/books
"""

import argparse
import collections
import itertools
import json
import os
import re
import sys

UNKNOWN = "<unk>"
END = "<eos>"  # of a line: a word of the vocabulary that is written as the line break
CHUNK = 1 << 20  # characters read at once

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*\Z")
# Letters and digits, joined by single signs inside a word: well-known, o'clock, u.s, at&t.
_WORD = re.compile(r"<unk>|\d+(?:[.,:]\d+)*(?![^\W_])|[^\W_]+(?:[-'.&][^\W_]+)*")
_CLITIC = re.compile(r"(.+?)(n't|'(?:s|ll|re|ve|d|m))\Z")
_JOINED = re.compile(r" @([-,.])@ ")  # WikiText's way to write what stood inside a word
_TITLES = "Mr Mrs Ms Dr St Prof Rev Gen Col Capt Lt Sgt Hon Jr Sr Messrs Mme Mlle No Vol vs".split()
_SENTENCE = re.compile(r"(?<=[.!?])" + "".join(rf"(?<!\b{title}\.)" for title in _TITLES)
                       # A capital alone before the dot is a name's initial.
                       + r"(?<!\b[A-Z]\.)[\"')\]]*\s+(?=[\"'(\[]*[A-Z])")


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", metavar="TEXT", nargs="+", help="UTF-8, one after the other")
    parser.add_argument("--out", metavar="DIR", required=True, help="where the parts are written")
    parser.add_argument("--train-tokens", type=int, default=929589, metavar="N")
    parser.add_argument("--valid-tokens", type=int, default=73760, metavar="N")
    parser.add_argument("--test-tokens", type=int, default=82430, metavar="N",
                        help="0: no test.txt")
    parser.add_argument("--vocab", type=int, default=10000, metavar="N",
                        help="words, <unk> and the end of a line among them (default 10000)")
    parser.add_argument("--offset", type=int, default=0, metavar="N",
                        help="tokens at the start of the text to leave out")
    parser.add_argument("--form", choices=["auto", "ptb", "words"], default="auto")
    parser.add_argument("--line-words", type=int, default=1000, metavar="N",
                        help="longest line (default 1000)")
    args = parser.parse_args(arguments)
    if min(args.train_tokens, args.valid_tokens) < 2 or args.test_tokens < 0 or \
            args.test_tokens == 1 or args.offset < 0 or args.line_words < 1 or args.vocab < 3:
        parser.error("--train-tokens, --valid-tokens and --test-tokens must be at least 2 (test: "
                     "or 0), --vocab 3, --line-words 1, --offset not negative")
    return args


def read_lines(paths, most=CHUNK):
    """Lines of the files, endless ones in pieces of about `most` characters that end at a blank."""
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as file:
            rest = ""
            while chunk := file.read(most):
                *lines, rest = (rest + chunk).split("\n")
                yield from lines
                if len(rest) >= most and (blank := rest.rfind(" ")) > 0:
                    yield rest[:blank]
                    rest = rest[blank + 1:]
            if rest:
                yield rest


def ptb_sentences(line):
    """Lists of words, one for each sentence of a line."""
    line = _JOINED.sub(r"\1", line).replace("’", "'")
    for sentence in _SENTENCE.split(line):
        words = []
        for word in _WORD.findall(sentence.lower()):
            clitic = _CLITIC.match(word) if "'" in word else None
            if clitic:
                words += clitic.groups()
            else:
                words.append("N" if _NUMBER.match(word) else word)
        yield words


def form_of(paths):
    with open(paths[0], encoding="utf-8", errors="replace") as file:
        return "words" if UNKNOWN in file.read(CHUNK).split() else "ptb"


def sentences(paths, form, line_words):
    """Lists of words, none empty, none longer than line_words."""
    for line in read_lines(paths):
        for words in [line.split()] if form == "words" else ptb_sentences(line):
            for begin in range(0, len(words), line_words):
                yield words[begin:begin + line_words]


def take(lines, tokens):
    """The next lines, of exactly so many tokens with the ends of lines; the last is cut to fit,
    and what is cut off it comes in no part. Fewer where the text ends."""
    while tokens > 0 and (words := next(lines, None)) is not None:
        words = words[:tokens - 1]
        # A single token left over would be a line without words.
        if tokens - len(words) - 1 == 1:
            words = words[:-1]
            if not words:
                continue
        yield words
        tokens -= len(words) + 1


def count(lines):
    return sum(len(words) + 1 for words in lines)


def vocabulary(lines, size):
    """The most frequent words, of equals the first in order. <unk> and the end of line have a
    place each, whether seen or not."""
    counts = collections.Counter(itertools.chain.from_iterable(lines))
    counts.pop(UNKNOWN, None)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {word for word, _ in ranked[:size - 2]}


def write(path, lines, known):
    """What the part holds."""
    unknown = tokens = number = 0
    types = {END}
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for words in lines:
            words = [word if word in known else UNKNOWN for word in words]
            file.write(" ".join(words) + "\n")
            number += 1
            tokens += len(words) + 1
            unknown += words.count(UNKNOWN)
            types.update(words)
    return {"tokens": tokens, "lines": number, "types": len(types),
            "unknown": round(unknown / max(tokens - number, 1), 4)}


def cut(args):
    form = form_of(args.texts) if args.form == "auto" else args.form
    lines = sentences(args.texts, form, args.line_words)
    for _ in take(lines, args.offset):
        pass
    # Memory holds each word once, and the training part as references to them.
    train = [list(map(sys.intern, words)) for words in take(lines, args.train_tokens)]
    known = vocabulary(train, args.vocab)
    facts = {"form": form, "vocabulary": len(known) + 2}
    os.makedirs(args.out, exist_ok=True)
    parts = [("train", train, args.train_tokens),
             ("valid", take(lines, args.valid_tokens), args.valid_tokens)]
    if args.test_tokens:
        parts.append(("test", take(lines, args.test_tokens), args.test_tokens))
    for name, part, tokens in parts:
        facts[name] = write(os.path.join(args.out, name + ".part"), part, known)
        if facts[name]["tokens"] != tokens:
            for started in facts.keys() & {"train", "valid", "test"}:
                os.remove(os.path.join(args.out, started + ".part"))
            sys.exit(f"error: {args.texts[-1]}: the text is too short for {name} (expected "
                     f"{tokens} tokens, found {facts[name]['tokens']}); ask for fewer")
    for name, _, _ in parts:
        os.replace(os.path.join(args.out, name + ".part"), os.path.join(args.out, name + ".txt"))
    return facts


def main():
    args = parse_args()
    try:
        print(json.dumps(cut(args)))
    except OSError as error:
        sys.exit(f"error: {error.filename}: {error.strerror}")


if __name__ == "__main__":
    main()
