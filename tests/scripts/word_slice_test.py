#!/usr/bin/env python3
"""Tests of scripts/peers/word_slice.py: the form of its slices, their sizes and vocabulary."""

import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PEERS = os.path.join(ROOT, "scripts", "peers")
sys.path.insert(0, PEERS)
import word_slice  # pylint: disable=wrong-import-position


class Slice(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def read(self, *names):
        with open(self.path(*names), encoding="utf-8") as file:
            return file.read()

    def cut(self, text, *arguments):
        text = self.write("text", text)
        return word_slice.cut(word_slice.parse_args([text, "--out", self.path("out"), *arguments]))

    def sizes(self, train, valid, test):
        return [f"--train-tokens={train}", f"--valid-tokens={valid}", f"--test-tokens={test}"]

    def test_form_of_the_treebank(self):
        for line, expected in (
                ("Mr. Smith's 1,000 dogs don't bark.", ["mr smith 's N dogs do n't bark"]),
                ("“We’ll see,” she said--twice. \"Why?\" It was 3.14 in 1984!",
                 ["we 'll see she said twice", "why", "it was N in N"]),
                ("J. R. Hall of the U.S. left. Then", ["j r hall of the u.s left", "then"]),
                ("An _old_ well-known o'clock at&t 1980s",
                 ["an old well-known o'clock at&t 1980s"]),
                ("10 @,@ 000 first @-@ team <unk> = = X = =", ["N first-team <unk> x"])):
            self.assertEqual([" ".join(words) for words in word_slice.ptb_sentences(line)],
                             expected)

    def test_each_part_has_exactly_its_tokens_in_the_order_of_the_text(self):
        lines = [[f"w{line}x{n}" for n in range(2 + line * 7 % 5)] for line in range(40)]
        text = "".join(" ".join(line) + "\n\n" for line in lines)
        for sizes in ((40, 20, 20), (41, 21, 19), (42, 17, 2), (43, 3, 11)):
            facts = self.cut(text, "--form=words", "--vocab=1000", *self.sizes(*sizes))
            taken = []
            for name, tokens in zip(("train", "valid", "test"), sizes):
                part = [line.split() for line in self.read("out", name + ".txt").splitlines()]
                self.assertNotIn([], part)
                self.assertEqual(sum(len(line) + 1 for line in part), tokens)
                self.assertEqual((facts[name]["tokens"], facts[name]["lines"]),
                                 (tokens, len(part)))
                if name == "train":
                    taken += part
                else:
                    self.assertEqual({word for line in part for word in line}, {"<unk>"})
            # Lines as they stand in the text; the last two may be cut to fit.
            self.assertEqual(taken[:-2], lines[:len(taken) - 2])
            for line, original in zip(taken[-2:], lines[len(taken) - 2:]):
                self.assertEqual(line, original[:len(line)])

    def test_parts_and_offset_follow_one_another(self):
        text = "".join(f"a b c {'d' * (n % 3 + 1)}\n" for n in range(60))
        self.cut(text, "--form=words", *self.sizes(50, 25, 25))
        whole = "".join(self.read("out", part + ".txt") for part in ("train", "valid", "test"))
        self.assertEqual(whole, text[:len(whole)])
        self.cut(text, "--form=words", "--offset=50", *self.sizes(50, 25, 0))
        moved = self.read("out", "train.txt")
        self.assertEqual(moved, "".join(text.splitlines(True)[10:20]))

    def test_vocabulary_is_closed_and_of_the_training_part(self):
        text = "e e e d d d c c b b <unk> a\n" + "a a a a <unk> e d c b\n"
        facts = self.cut(text, "--form=words", "--vocab=5", *self.sizes(13, 10, 0))
        # <unk> and the end of a line are two of the five; of b and c, as frequent, b is first.
        self.assertEqual(self.read("out", "train.txt"),
                         "e e e d d d <unk> <unk> b b <unk> <unk>\n")
        self.assertEqual(self.read("out", "valid.txt"),
                         "<unk> <unk> <unk> <unk> <unk> e d <unk> b\n")
        self.assertEqual((facts["vocabulary"], facts["train"]["types"]), (5, 5))
        self.assertAlmostEqual(facts["train"]["unknown"], 4 / 12, places=4)

    def test_auto_leaves_tokenised_text_as_it_is(self):
        tokenised = " \n = Title = \n The <unk> cat , No. 5 . \n"
        self.assertEqual(self.cut(tokenised * 4, *self.sizes(12, 4, 0))["form"], "words")
        self.assertEqual(self.read("out", "train.txt"), "= Title =\nThe <unk> cat , No. 5 .\n")
        self.assertEqual(self.cut("The cat. " * 20, *self.sizes(13, 3, 0))["form"], "ptb")

    def test_text_without_lines(self):
        words = [f"word{n}" for n in range(500)]
        path = self.write("endless", " ".join(words))
        for most in (16, 64, 1000, 10000):
            pieces = list(word_slice.read_lines([path], most))
            self.assertEqual(" ".join(pieces).split(), words)
        self.assertGreater(len(list(word_slice.read_lines([path], 64))), 10)
        self.cut(" ".join(words), "--line-words=30", "--vocab=1000", *self.sizes(310, 62, 0))
        self.assertEqual([len(line.split()) for line in
                          self.read("out", "train.txt").splitlines()], 10 * [30])

    def test_the_same_text_gives_the_same_slice(self):
        text = "".join(f"x{n % 7} y{n % 5} z{n % 11}\n" for n in range(100))
        found = []
        for _ in range(2):
            # Another process: another order of sets.
            subprocess.run([sys.executable, os.path.join(PEERS, "word_slice.py"),
                            self.write("text", text), "--out", self.path("out"), "--vocab=9",
                            *self.sizes(100, 50, 50)], check=True, stdout=subprocess.DEVNULL)
            found.append([self.read("out", part + ".txt") for part in ("train", "valid", "test")])
        self.assertEqual(found[0], found[1])

    def test_a_text_too_short_leaves_nothing(self):
        with self.assertRaisesRegex(SystemExit, "short for valid .*expected 50 tokens, found 8"):
            self.cut("a b c\n" * 5, *self.sizes(12, 50, 0))
        self.assertEqual(os.listdir(self.path("out")), [])


if __name__ == "__main__":
    unittest.main()
