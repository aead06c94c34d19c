#!/usr/bin/env python3
"""Tests of the LSTM that recipes for words are held against (scripts/peers): the size of the
network, its exact perplexity, the order of runs and their resumption. What needs PyTorch is skipped
where no Python has it."""

import contextlib
import io
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PEERS = os.path.join(ROOT, "scripts", "peers")
sys.path.insert(0, PEERS)
import lstm_torch  # pylint: disable=wrong-import-position
import machine  # pylint: disable=wrong-import-position
import word_small  # pylint: disable=wrong-import-position


class InFolder(unittest.TestCase):
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


class Network(InFolder):
    def test_parameters(self):
        # Counted by hand: 7 words of 3, two layers of 4 gates with 2 matrices and 2 biases.
        layer = 4 * (3 * 3 + 3 * 3 + 3 + 3)
        self.assertEqual(lstm_torch.parameters(7, 3), 7 * 3 + 2 * layer + 7)

    def test_width_is_the_most_that_fits(self):
        for vocabulary, most in ((7, 300), (100, 5000), (10000, 6_000_000), (10000, 13_000_000),
                                 (33278, 35_000_000), (10, lstm_torch.parameters(10, 8)),
                                 (10, lstm_torch.parameters(10, 8) - 1)):
            width = lstm_torch.width_for(vocabulary, most)
            self.assertLessEqual(lstm_torch.parameters(vocabulary, width), most)
            self.assertGreater(lstm_torch.parameters(vocabulary, width + 1), most)
        self.assertEqual(lstm_torch.width_for(100, 50), 0)

    def test_words_are_those_of_sluice(self):
        train = self.write("train", "a b a\n\n<unk> c\n")
        valid = self.write("valid", "c x\n <unk> a")
        self.assertEqual(lstm_torch.read_ids(train, valid),
                         ([2, 3, 2, 0, 0, 1, 4, 0], [4, 1, 0, 1, 2, 0], 5))
        self.assertEqual(lstm_torch.read_ids(train, valid, self.write("test", "y b\n"))[2],
                         [1, 3, 0])

    def test_times(self):
        self.assertEqual([lstm_torch.parse_time(t) for t in ("90s", "1.5m", "2h", "7")],
                         [90, 90, 7200, 7])
        for wrong in ("", "0s", "-1m", "5 m", "1d"):
            with self.assertRaisesRegex(lstm_torch.argparse.ArgumentTypeError, "90s"):
                lstm_torch.parse_time(wrong)


# Prints losses of a small network, by evaluate() and one word after the other.
LOSSES = """
import json, sys
import torch
sys.path.insert(0, sys.argv[1])
from lstm_model import LstmLm, evaluate
torch.manual_seed(3)
model = LstmLm(11, 6, 0.5)
for parameter in model.parameters():
    torch.nn.init.uniform_(parameter, -1, 1)
ids = torch.randint(11, (53,))

def slowly(ids, first):
    context, total = [first], 0.0
    for word in ids.tolist():
        weights = model.embedding.weight
        inputs = weights[torch.tensor(context)].unsqueeze(1)
        hidden = model.lstm(inputs)[0][-1, 0]
        total -= torch.log_softmax(weights @ hidden + model.bias, 0)[word].item()
        context.append(word)
    return total

found = {f"1 stream, window {w}": evaluate(model, ids, 0, window=w) for w in (1, 7, 35, 100)}
found["3 streams"] = evaluate(model, ids, 0, streams=3, window=4)
found["training"] = model.training
model.eval()
with torch.no_grad():
    found["slowly"] = slowly(ids, 0) / 53
    parts = ids.split(18)
    found["slowly, 3"] = sum(slowly(part, first) for part, first in
                             zip(parts, [0, parts[0][-1].item(), parts[1][-1].item()])) / 53
import lstm_torch
found["parameters"] = sum(p.numel() for p in model.parameters()) - lstm_torch.parameters(11, 6)
batches = lstm_torch.windows(torch, torch.arange(1000), 4, 9)
found["epochs"] = []
for _ in range(2):
    seen, share = [], 0.0
    while share < 1 - 1e-9:
        inputs, targets, anew, part = next(batches)
        assert anew == (share == 0) and bool((targets == inputs + 1).all())
        seen.append(inputs)
        share += part
    seen = torch.cat(seen)
    assert bool((seen[1:] == seen[:-1] + 1).all()) and len(seen.flatten().unique()) > 980
    found["epochs"].append(seen[0, 0].item())
print(json.dumps(found))
"""


class WithTorch(InFolder):
    skipped = False

    @classmethod
    def setUpClass(cls):
        try:
            cls.python = machine.find_python()
        except SystemExit as stop:
            cls.skipped = True
            raise unittest.SkipTest(str(stop))

    def test_evaluation_is_exact(self):
        done = subprocess.run([self.python, "-c", LOSSES, PEERS], capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(done.stdout)
        for name, loss in found.items():
            if name.startswith("1 stream"):
                self.assertAlmostEqual(loss, found["slowly"], delta=1e-5, msg=name)
        self.assertAlmostEqual(found["3 streams"], found["slowly, 3"], delta=1e-5)
        self.assertGreater(abs(found["3 streams"] - found["slowly"]), 1e-3)
        self.assertTrue(found["training"])
        self.assertEqual(found["parameters"], 0)
        self.assertNotEqual(*found["epochs"])

    def test_a_run_ends_in_time_and_learns(self):
        # Eight words in turn: their frequencies alone give ln 8, 2.08.
        words = [f"w{n % 8}" if n % 20 else f"w{n % 8}\n" for n in range(10400)]
        train = self.write("train", " ".join(words[:10000]))
        valid = self.write("valid", " ".join(words[10000:]))
        for optimizer, schedule in (("sgd", "cosine"), ("adam", "plateau")):
            done = subprocess.run(
                [self.python, os.path.join(PEERS, "lstm_torch.py"), "--train", train, "--valid",
                 valid, "--test", valid, "--parameters=3000", "--max-time=3s", "--threads=1",
                 "--dropout=0", "--batch=8", "--window=9", f"--optimizer={optimizer}",
                 f"--schedule={schedule}",
                 *(["--lr=0.03"] if optimizer == "adam" else [])],
                capture_output=True, text=True, check=False)
            if "reference BLAS" in done.stderr:
                type(self).skipped = True
                self.skipTest(done.stderr.strip())
            self.assertEqual(done.returncode, 0, done.stderr)
            result = json.loads(done.stdout)
            self.assertLess(result["seconds"], 5)  # of 3: the machine may have other work
            self.assertGreater(result["validations"], 0)
            self.assertEqual(result["tokens"], len(lstm_torch.read_words(valid)))
            self.assertEqual([result[f"test_{key}"] for key in ("nats", "perplexity", "tokens")],
                             [result[key] for key in ("valid_nats", "valid_perplexity", "tokens")])
            self.assertEqual(result["vocabulary"], 10)
            self.assertEqual(result["parameters"], lstm_torch.parameters(10, result["width"]))
            self.assertAlmostEqual(result["valid_perplexity"], math.exp(result["valid_nats"]))
            self.assertLess(result["valid_nats"], 1.9, done.stderr)
            self.assertEqual((result["settings"]["optimizer"], result["settings"]["max_time"]),
                             (optimizer, 3.0))


class Comparison(InFolder):
    def setUp(self):
        super().setUp()
        for name in ("a", "b"):
            self.write(f"{name}/train.txt", f"{name} b\n")
            self.write(f"{name}/valid.txt", "b\n")
            self.write(f"{name}/test.txt", "b b\n")
        self.runs = []
        self.tokens, self.words, self.diverged = 2, 10, False

    def arguments(self, *more):
        return ["--config=c.json", "--out", self.path("out"), f"--sluice={sys.executable}",
                "--python=python", *more, self.path("a"), self.path("b")]

    def answer(self, command):
        """What the programs would print; trainings are noted."""
        option = dict(part.lstrip("-").split("=", 1) for part in command if "=" in part)
        if "lstm_torch.py" in command[1]:
            assert command[0] == "python"
            minutes = float(option["max-time"][:-1]) / 60
            self.runs.append((os.path.basename(os.path.dirname(command[3])), minutes,
                              option["optimizer"], option["schedule"], float(option["lr"]),
                              float(option["dropout"]), int(option["parameters"])))
            # The longer the better; of the settings Adam at 0.002, less dropout.
            nats = 5 - minutes / 100 + float(option["dropout"]) / 10 + \
                abs(math.log(float(option["lr"]) / 0.002)) / 10
            nats = math.inf if self.diverged else nats
            assert command[command.index("--test") + 1].endswith("/test.txt")
            return json.dumps({"valid_nats": nats, "valid_perplexity": math.exp(nats), "tokens": 2,
                               "test_nats": nats + 1, "test_perplexity": math.exp(nats + 1),
                               "test_tokens": 3, "vocabulary": 10, "parameters": 990,
                               "seconds": 60 * minutes - 1, "epochs": 2.5,
                               "tokens_per_second": 1234.5, "torch": "1.0", "blas": "b"})
        if command[1:3] == ["config", "dump"]:
            return self.config
        if command[1] == "train":
            slice_name = os.path.basename(os.path.dirname(command[command.index("--train") + 1]))
            self.runs.append((slice_name, "sluice", command[command.index("--max-time") + 1]))
            run = command[command.index("--out") + 1]
            os.makedirs(run, exist_ok=True)
            with open(os.path.join(run, "metrics.jsonl"), "w", encoding="utf-8") as file:
                file.write('{"step": 1, "epoch": 3.25}\n{"done": true}\n')
            return ""
        if command[1] == "eval":
            test = command[3].endswith("/test.txt")
            return json.dumps({"perplexity": 300.0 if test else 100.0,
                               "nats_per_token": math.log(300 if test else 100),
                               "tokens": self.tokens + test, "vocab_size": self.words, "oov": 0,
                               "model_hash": "h", "version": "0"})
        assert command[1] == "info", command
        return json.dumps({"parameters": 1000, "precision": "f32", "training_seconds": 3599.0})

    config, load = "{}", (3.0, 0, 0)

    def compare(self, *more):
        """(table, trainings); stops where a run fails."""
        self.runs = []
        args = word_small.parse_args(self.arguments(*more))
        results = word_small.Results(args.out)
        try:
            with unittest.mock.patch.object(word_small, "run_program", self.answer), \
                    unittest.mock.patch("os.getloadavg", return_value=self.load), \
                    contextlib.redirect_stderr(io.StringIO()):
                return word_small.report(args, word_small.compare(args, results)), self.runs
        finally:
            results.lock.close()

    def test_order_of_runs(self):
        _, runs = self.compare()
        of_a = [run for run in runs if run[0] == "a"]
        self.assertEqual(runs[:len(of_a)], of_a)
        self.assertEqual(of_a[0], ("a", "sluice", "3600s"))
        lstm = [run[1:] for run in of_a[1:]]
        self.assertEqual(lstm[:6], [(5, *setting, 0.3, 1000) for setting in word_small.GRID])
        self.assertEqual(sorted(lstm[6:8]), [(20, "adam", "cosine", 0.001, 0.3, 1000),
                                             (20, "adam", "cosine", 0.002, 0.3, 1000)])
        self.assertEqual(lstm[8:], [(60, "adam", "cosine", 0.002, dropout, 1000)
                                    for dropout in (0.3, 0.5)])
        self.assertEqual([run[1:] for run in runs if run[0] == "b"], [run[1:] for run in of_a])

    def test_other_budgets(self):
        _, runs = self.compare("--minutes=10", "--short=1", "--middle=0", "--dropouts=0.4")
        self.assertEqual(len(runs), 2 * (1 + 6 + 1))
        self.assertEqual(runs[7], ("a", 10, "adam", "cosine", 0.002, 0.4, 1000))

    def test_finished_runs_are_not_repeated(self):
        table, runs = self.compare()
        self.assertEqual(self.compare(), (table, []))
        # Stopped in the middle of writing the fifth result.
        lines = self.read("out", "results.jsonl").splitlines(True)
        self.write("out/results.jsonl", "".join(lines[:4]) + lines[4][:30])
        again, repeated = self.compare()
        self.assertEqual((again, repeated), (table, runs[4:]))
        self.assertEqual(self.read("out", "results.jsonl"), "".join(lines))
        # Another config trains Sluice anew; another text all of it.
        with unittest.mock.patch.object(Comparison, "config", '{"x": 1}'):
            self.assertEqual([run[:2] for run in self.compare()[1]],
                             [("a", "sluice"), ("b", "sluice")])
        for part in ("valid", "test"):
            self.write(f"b/{part}.txt", "c\n")
            self.assertEqual(len(self.compare()[1]), len(runs) // 2)

    def test_table(self):
        table, _ = self.compare()
        best = math.exp(5 - 0.6 + 0.03)
        ratio = 300 / (math.e * best)
        self.assertIn("| a | 3 | 1,000 | 3599 | 3.2 | 100.00 | 300.00 | "
                      f"990 | 3599 | 2.5 | {best:.2f} | {math.e * best:.2f} | **{ratio:.3f}** | "
                      f"{100 * (1 - ratio):+.1f} % |\n", table)
        self.assertIn("| b | 20 | adam | cosine | 0.002 | 0.3 | 2.5 | ", table)
        self.assertEqual(self.compare("--table")[1], [])
        self.assertNotIn("other work", table)
        self.write("out/results.jsonl", "")
        self.load = (3.1, 0, 0)
        self.assertIn("other work ran beside (load up to 3.1)", self.compare()[0])
        self.assertIn("one seed each", table)

    def test_load_that_is_over_before_the_run_is(self):
        with unittest.mock.patch("os.getloadavg", return_value=(1.0, 0, 0)) as now, \
                unittest.mock.patch.object(word_small, "SAMPLE_SECONDS", 0.001), \
                word_small.Load() as load:
            now.return_value = (9.0, 0, 0)
            seen = now.call_count
            until = time.monotonic() + 10
            while now.call_count < seen + 2 and time.monotonic() < until:
                time.sleep(0.001)
            now.return_value = (1.0, 0, 0)
        self.assertEqual(load.highest, 9.0)

    def test_no_ratio_where_a_side_diverged(self):
        self.diverged = True
        table, _ = self.compare()
        self.assertIn("| diverged | diverged | - | - |\n", table)
        self.assertNotIn("**", table)

    def test_another_vocabulary_is_another_question(self):
        self.words = 11
        with self.assertRaisesRegex(SystemExit, "different words of the vocabulary .11 and 10"):
            self.compare()

    def test_table_of_what_is_there(self):
        table, runs = self.compare("--table")
        self.assertEqual(runs, [])
        self.assertNotIn("| a |", table)
        _, runs = self.compare("--what=sluice")
        self.assertEqual(len(runs), 2)
        with self.assertRaisesRegex(SystemExit, "different tokens of valid.txt .3 and 2"):
            self.tokens = 3
            self.write("out/results.jsonl", "")
            self.compare()

    def test_the_lstm_alone(self):
        with self.assertRaisesRegex(SystemExit, "--what=lstm needs --parameters"):
            self.compare("--what=lstm")
        _, runs = self.compare("--what=lstm", "--parameters=777")
        self.assertEqual({run[-1] for run in runs}, {777})
        self.assertEqual(len(runs), 20)

    def test_one_comparison_at_a_time(self):
        held = word_small.Results(self.path("out"))
        with self.assertRaisesRegex(SystemExit, "another comparison is under way"):
            word_small.Results(self.path("out"))
        held.lock.close()

    def test_arguments(self):
        for what, *more in (("no train.txt", self.path("none")),
                            ("different names", self.path("a")),
                            ("no binary at /no/sluice", "--sluice=/no/sluice"),
                            ("--short above 0", "--short=0"), ("from 0 to below 1",
                                                               "--dropouts=0.3,1")):
            errors = io.StringIO()
            with self.assertRaises(SystemExit) as stop, contextlib.redirect_stderr(errors):
                word_small.parse_args(self.arguments(*more))
            self.assertEqual(stop.exception.code, 2)
            self.assertIn(what, errors.getvalue())


if __name__ == "__main__":
    run = unittest.main(exit=False).result
    if not run.wasSuccessful():
        sys.exit(1)
    # ctest's code for a test that did not run (SKIP_RETURN_CODE), so that it does not count as
    # passed where there is no PyTorch.
    sys.exit(77 if WithTorch.skipped else 0)
