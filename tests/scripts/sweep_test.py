#!/usr/bin/env python3
"""Tests of the parts of scripts/sweep.py that need no training: the experiment's file, results, the
ranking, tables and plots. tests/cli/sweep_test.sh runs sweeps."""

import io
import json
import math
import os
import sys
import tempfile
import unittest
import unittest.mock
import xml.dom.minidom

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "scripts"))
# pylint: disable=wrong-import-position,protected-access
from sweep import experiment, plot, program, results, runner, table, text
from sweep.errors import SweepError

SMALL = {"base": "wikitext2-word", "rungs": [{"max_steps": 10}]}


class InFolder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "results.jsonl")

    def read(self, found, extra=None):
        path = os.path.join(self.folder.name, "e.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(found if isinstance(found, str) else json.dumps(found))
        return experiment.read(path, extra)


class ExperimentFile(InFolder):
    def refused(self, what, found, extra=None):
        with self.assertRaises(SweepError) as raised:
            self.read(found, extra)
        self.assertEqual(raised.exception.code, 2)
        self.assertIn(what, str(raised.exception))
        self.assertNotIn("\n", str(raised.exception))

    def test_comments_of_both_kinds_but_not_in_strings(self):
        found = self.read('{ // one\n "base": "b//c.json", /* two\n lines */ "title": "/* x */",\n'
                          '"rungs": [{"max_time": "10m"}]}')
        self.assertEqual(found.title, "/* x */")
        self.assertTrue(found.base.endswith("/b/c.json"))
        self.refused("line 3:", '{ // one\n /* two */\n "base" "b"}')

    def test_names_come_from_the_values(self):
        def names(**keys):
            return [v.name for v in self.read({**SMALL, **keys}).variations]
        self.assertEqual(names(), ["base"])
        self.assertEqual(names(axes={"model.gate": ["glu", "gtu"]}), ["glu", "gtu"])
        self.assertEqual(names(axes={"optimizer.lr": [1, 0.1]}), ["lr=1", "lr=0.1"])
        self.assertEqual(names(axes={"model.dropout.layer": [0], "x.layer": [1, 2]}),
                         ["dropout.layer=0 x.layer=1", "dropout.layer=0 x.layer=2"])
        self.assertEqual(names(axes={"optimizer.lr": [1]}, variants=[{"name": "a"}, {"name": "b"}]),
                         ["a lr=1", "b lr=1"])

    def test_settings_of_a_variation_go_before_those_of_all(self):
        found = self.read({**SMALL, "set": {"a.b": 1, "a.c": 1}, "axes": {"a.d": [3]},
                           "variants": [{"name": "v", "set": {"a.c": 2}}]}, {"a.e": 4})
        self.assertEqual(found.variations[0].settings, {"a.b": 1, "a.c": 2, "a.d": 3, "a.e": 4})
        self.assertEqual(list(found.variations[0].settings), ["a.b", "a.c", "a.e", "a.d"])

    def test_what_is_wrong_is_named(self):
        self.refused("axis: unknown key", {**SMALL, "axis": {}})
        self.refused("base: missing", {"rungs": [{"max_steps": 1}]})
        self.refused("rungs.0: expected exactly one of max_time, max_steps, tokens",
                     {**SMALL, "rungs": [{"max_steps": 1, "tokens": 5}]})
        self.refused("rungs.0.keep: missing",
                     {**SMALL, "rungs": [{"max_steps": 1}, {"max_steps": 2}]})
        self.refused("rungs.0.max_time", {**SMALL, "rungs": [{"max_time": "soon"}]})
        self.refused("rungs.0.max_steps", {**SMALL, "rungs": [{"max_steps": True}]})
        self.refused("the same seed twice", {**SMALL, "seeds": [1, 1]})
        self.refused("set.train.seed: belongs to seeds", {**SMALL, "set": {"train.seed": 1}})
        self.refused("axes.train.max_steps: belongs to rungs",
                     {**SMALL, "axes": {"train.max_steps": [1]}})
        self.refused("variants.0.set.a.b: is an axis too",
                     {**SMALL, "axes": {"a.b": [1]},
                      "variants": [{"name": "v", "set": {"a.b": 1}}]})
        self.refused("two variations are called a",
                     {**SMALL, "variants": [{"name": "a"}, {"name": "a"}]})
        self.refused("must not hold a comma", {**SMALL, "variants": [{"name": "a,b"}]})
        self.refused("compare: expected", {**SMALL, "compare": "accuracy"})
        self.refused("plot.series and plot.log_x need plot.x",
                     {**SMALL, "plot": {"series": "group"}})
        self.refused("base: given twice", '{"base": "a", "base": "b"}')
        self.refused("--set a.b: the variations of", {**SMALL, "axes": {"a.b": [1]}}, {"a.b": 2})

    def test_ready_experiments_can_be_read(self):
        folder = os.path.join(ROOT, "configs", "sweeps")
        names = [name for name in os.listdir(folder) if name.endswith(".json")]
        self.assertGreaterEqual(len(names), 5)
        for name in names:
            found = experiment.read(os.path.join(folder, name))
            # Rungs before the last only choose who goes on.
            self.assertGreaterEqual(len(found.rungs[-1].seeds), 2, name)


def record(name, seed, loss, rung=1, **keys):
    return {"name": name, "rung": rung, "limit": {"max_steps": 10}, "seed": seed, "set": {},
            "hash": "h", "status": "done", "valid_loss": loss, "perplexity": text.perplexity(loss),
            "bits_per_byte": loss / 2, "best_step": 10, "steps": 10, "tokens": 1000,
            "seconds": 90.0, "parameters": 8090496, "tokens_per_second": 12345.6,
            "receptive_field": 16, "precision": "f32",
            "curve": [[400, loss + 2], [800, loss + 1], [1000, loss]], "commit": "abc",
            "version": "sluice 1", **keys}


class ResultsFile(InFolder):
    def test_a_torn_last_line_is_ignored_and_overwritten(self):
        first = results.Results(self.path)
        first.append(record("a", 1, 5.0))
        first.append(record("b", 1, 6.0))
        with open(self.path, "rb+") as file:
            file.truncate(os.path.getsize(self.path) - 30)
        again = results.Results(self.path)
        self.assertIsNotNone(again.get("a", 1, 1))
        self.assertIsNone(again.get("b", 1, 1))
        again.append(record("c", 1, 7.0))
        with open(self.path, encoding="utf-8") as file:
            self.assertEqual([json.loads(line)["name"] for line in file], ["a", "c"])

    def test_damage_in_the_middle_is_refused(self):
        with open(self.path, "w", encoding="utf-8") as file:
            file.write('{"torn\n' + json.dumps(record("a", 1, 5.0)) + "\n")
        with self.assertRaises(SweepError) as raised:
            results.Results(self.path)
        self.assertEqual(raised.exception.code, 65)
        self.assertIn("line 1", str(raised.exception))

    def test_the_latest_record_counts(self):
        found = results.Results(self.path)
        found.append(record("a", 1, 5.0))
        found.append(record("a", 1, 4.0))
        for each in (found, results.Results(self.path)):
            self.assertEqual(each.get("a", 1, 1)["valid_loss"], 4.0)


class Report(InFolder):
    def setUp(self):
        super().setUp()
        self.results = results.Results(self.path)
        self.results.state_current({"h"}, {})

    def experiment(self, **keys):
        return self.read({**SMALL, "variants": [{"name": n} for n in "abc"], "seeds": [1, 2],
                          "title": "T", **keys})

    def add(self, *records):
        for each in records:
            self.results.append(each)

    def test_rank_is_by_the_mean_and_divergence_is_last(self):
        self.add(record("a", 1, 5.0), record("a", 2, 5.4), record("b", 1, 5.1), record("b", 2, 5.2),
                 record("c", 1, 1.0), record("c", 2, 1.0, status="diverged"))
        found = results.standings(self.experiment(), self.results)
        self.assertEqual([at.variation.name for at in found], ["b", "a", "c"])
        self.assertAlmostEqual(found[1].mean, 5.2)
        self.assertAlmostEqual(found[1].spread, math.sqrt(0.08))
        self.assertEqual(found[2].diverged, 1)

    def test_later_rungs_come_first_whatever_their_loss(self):
        rungs = [{"max_steps": 10, "keep": 1}, {"max_steps": 20}]
        self.add(record("a", 1, 5.0), record("b", 1, 4.0), record("a", 1, 6.0, rung=2,
                                                                 limit={"max_steps": 20}))
        found = results.standings(self.experiment(rungs=rungs), self.results)
        self.assertEqual([at.variation.name for at in found], ["a", "b"])

    def test_results_of_other_settings_are_left_out(self):
        self.add(record("a", 1, 5.0), record("b", 1, 4.0, limit={"max_steps": 11}))
        here = self.experiment()
        self.assertEqual(len(results.standings(here, self.results)), 1)
        self.assertEqual(results.stale(here, self.results), 1)
        changed = self.experiment(set={"optimizer.lr": 0.1})
        self.assertEqual(results.standings(changed, self.results), [])

    def test_a_key_that_the_experiment_names_no_more_counts(self):
        self.add(record("a", 1, 5.0, set={"optimizer.lr": 0.1}))
        self.assertEqual(results.standings(self.experiment(), self.results), [])
        # But not one of --set, which a table need not name again.
        self.results.state_current({"h"}, {"optimizer.lr": 0.1})
        for each in (self.results, results.Results(self.path)):
            self.assertEqual(len(results.standings(self.experiment(), each)), 1)

    def test_a_result_of_another_text_is_left_out_at_a_later_rung_too(self):
        rungs = [{"max_steps": 10, "keep": 1}, {"max_steps": 20}]
        self.add(record("a", 1, 5.0), record("b", 1, 4.0),
                 record("a", 1, 3.0, rung=2, limit={"max_steps": 20}, hash="old"))
        here = self.experiment(rungs=rungs)
        found = results.standings(here, self.results)
        self.assertEqual([(at.variation.name, at.rung_index) for at in found],
                         [("b", 0), ("a", 0)])
        self.assertEqual(results.stale(here, self.results), 1)

    def test_a_loss_without_a_perplexity(self):
        self.add(record("a", 1, 800.0, perplexity=None), record("a", 2, 900.0, perplexity=None))
        here = self.experiment()
        self.assertIn(" inf (inf-inf) ", table.plain(here, results.standings(here, self.results)))
        self.assertIn("perplexity inf", runner.said_of(self.results.get("a", 1, 1)))
        self.assertIsNone(program.finite(text.perplexity(800.0)))
        self.assertEqual(program.finite(text.perplexity(0.0)), 1.0)

    def test_table_in_full(self):
        self.add(record("a", 1, 5.0), record("a", 2, 5.1), record("b", 1, 4.9))
        here = self.experiment(report_tokens=[399, 900, 1100, 5000])
        said = table.plain(here, results.standings(here, self.results))
        self.assertEqual(said[:said.index("T.")], """\
rank  variation  validation loss              perplexity   seeds  parameters  tokens/s  minutes  \
at 399 tokens  at 900 tokens  at 1.10k tokens  at 5.00k tokens
   1  b                   4.9000                  134.29  1 of 2       8.09M     12.3k      1.5  \
            -         5.9000           4.9000                -
   2  a          5.0500 ± 0.0707  156.02 (148.41-164.02)       2       8.09M     12.3k      1.5  \
            -         6.0500           5.0500                -

""")
        self.assertEqual(said[said.index("T."):], "T. Config wikitext2-word, 10 steps per run; "
                         "best validation in nats per token, mean ± sample standard deviation "
                         "over the seeds, perplexity of the mean (lowest-highest seed). "
                         "Trained by sluice 1 (abc) in f32.")
        self.assertIn("| 2 | a | 5.0500 ± 0.0707 | 156.02 (148.41-164.02) | 2 | 8.09M |",
                      table.markdown(here, results.standings(here, self.results)))

    def test_bits_per_byte_where_tokenizers_differ(self):
        self.add(record("a", 1, 5.0), record("b", 1, 6.0, bits_per_byte=1.5))
        here = self.experiment(compare="valid_bits_per_byte", report_tokens=[1000])
        text = table.plain(here, results.standings(here, self.results))
        self.assertNotIn("perplexity", text)
        self.assertRegex(text, r"\n +1  b +1\.5000 .* 1\.5000\n +2  a +2\.5000 .* 2\.5000\n")

    def test_loss_at_says_nothing_of_tokens_not_trained_on(self):
        run = record("a", 1, 5.0)
        for tokens, loss in ((399, None), (400, 7.0), (999, 6.0), (1000, 5.0), (1200, 5.0),
                             (1201, None)):
            self.assertEqual(results.loss_at(run, tokens), loss, tokens)

    def plotted(self, **keys):
        here = self.experiment(**keys)
        text = plot.svg(here, results.standings(here, self.results))
        self.assertEqual(text, plot.svg(here, results.standings(here, self.results)))
        return xml.dom.minidom.parse(io.BytesIO(text.encode())), text

    def test_curves_have_a_line_and_a_band_each(self):
        self.add(*(record(name, seed, loss + seed / 10) for name, loss in (("a", 5.0), ("b", 5.5))
                   for seed in (1, 2)), record("c", 1, 9.0, status="diverged", curve=[]))
        drawing, text = self.plotted(title="<T> & more")
        self.assertEqual(len(drawing.getElementsByTagName("polygon")), 2)
        lines = [line for line in drawing.getElementsByTagName("polyline")
                 if line.hasAttribute("clip-path")]
        self.assertEqual(len({line.getAttribute("stroke") for line in lines}), 2)
        self.assertIn("&lt;T&gt; &amp; more", text)
        # Of the mean, which lies between the seeds.
        ends = [line.getAttribute("points").split()[-1].split(",") for line in lines]
        self.assertLess(float(ends[1][1]), float(ends[0][1]))  # b is worse, so above

    def test_divergence_is_drawn(self):
        variants = [{"name": n, "set": {"model.x": x}} for x, n in enumerate("abcd", 1)]
        wild = {"status": "diverged"}
        for v, (first, second) in zip(variants, (({}, {}), (wild, wild), ({}, wild), ({}, {}))):
            self.add(record(v["name"], 1, 5.0, set=v["set"], **first),
                     record(v["name"], 2, 5.2, set=v["set"], **second))
        drawing, text = self.plotted(variants=variants, plot={"x": "model.x"})
        circles = [c.getAttribute("fill") for c in drawing.getElementsByTagName("circle")]
        self.assertEqual([fill == "#fff" for fill in circles], [False, True, False])
        crosses = drawing.getElementsByTagName("path")
        self.assertEqual(len(crosses), 1)
        across = [float(c.getAttribute("cx")) for c in drawing.getElementsByTagName("circle")]
        at = float(crosses[0].getAttribute("d")[1:].split(",")[0]) + 5
        self.assertAlmostEqual(at - across[0], across[1] - at, delta=0.2)
        lines = [line.getAttribute("points").split() for line in
                 drawing.getElementsByTagName("polyline") if line.hasAttribute("clip-path")]
        self.assertEqual([len(points) for points in lines], [1, 2])
        self.assertIn("× all seeds diverged, ○ some seeds diverged", text)
        self.assertIn(", 1 diverged", self.plotted(variants=variants)[1])
        self.add(*(record("b", seed, 9.0, set=variants[1]["set"], parameters=None, **wild)
                   for seed in (1, 2)))
        self.assertIn("b diverged at once",
                      self.plotted(variants=variants, plot={"x": "parameters"})[1])

    def test_final_loss_against_a_value(self):
        variants = [{"name": n, "group": g, "set": {"model.x": x}}
                    for n, g, x in (("a", "one", 1), ("b", "one", 10), ("c", "two", 100))]
        self.add(*(record(v["name"], 1, 5.0, set=v["set"]) for v in variants))
        drawing, _ = self.plotted(variants=variants, plot={"x": "model.x", "series": "group",
                                                           "log_x": True})
        across = [float(c.getAttribute("cx")) for c in drawing.getElementsByTagName("circle")]
        self.assertAlmostEqual(across[1] - across[0], across[2] - across[1], delta=0.2)
        with self.assertRaisesRegex(SweepError, "plot.x: model.y of . is no number"):
            self.plotted(variants=variants, plot={"x": "model.y"})


class Fingerprints(unittest.TestCase):
    SCHEMA = {"properties": {
        "a": {"default": 1}, "part": {"properties": {"b": {"default": [1]}}},
        "list": {"items": {"properties": {"c": {"default": 3}, "d": {"default": None}}},
                 "default": []}}}

    def test_configs_mean_the_same_but_for_keys_that_one_does_not_know(self):
        def same(old, new):
            found = {program.same_config(*pair, self.SCHEMA) for pair in ((old, new), (new, old))}
            self.assertEqual(len(found), 1)
            return found.pop()
        here = {"a": 1, "part": {"b": [1]}, "list": [{"c": 3, "d": None}]}
        self.assertTrue(same(here, here))
        self.assertTrue(same(here, {"part": {"b": [1]}, "list": [{"c": 3}]}))
        self.assertFalse(same(here, {**here, "a": 2}))
        self.assertFalse(same({**here, "a": 2}, {"part": {"b": [1]}, "list": [{"c": 3}]}))
        self.assertFalse(same(here, {**here, "list": [{"c": 3, "d": 0}]}))
        self.assertFalse(same(here, {**here, "list": here["list"] * 2}))
        self.assertFalse(same(here, {**here, "unknown to the binary": None}))
        self.assertFalse(same(None, here))  # of a record that knows no config

    def test_a_changed_default_is_no_default_of_before(self):
        was = {"a": 0, "part": {"b": [1]}}
        self.assertFalse(program.same_config(was, {**was, "a": 1}, self.SCHEMA))


class FakeProgram(program.Program):
    """As far as no binary is needed."""

    def __init__(self, schema=None):  # pylint: disable=super-init-not-called
        self._schema, self._digests = schema or {}, {}


class ResultConfigs(InFolder):
    def write(self, name, text):
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def test_what_a_result_depends_on(self):
        text = self.write("text", "a")
        data = {"train": [text], "valid": [text], "cache_dir": None, "mode": "stream"}
        train = {"threads": 1, "max_time": None, "seed": 1}

        def hashed(tokenizer=None, **changed):
            config = {"data": data, "tokenizer": {"file": tokenizer}, "train": {**train, **changed}}
            return program.digest(FakeProgram().result_config(config))
        self.assertEqual(hashed(), hashed(threads=2))
        self.assertNotEqual(hashed(), hashed(seed=2))
        # So much time is so many steps, by the threads.
        self.assertNotEqual(hashed(max_time="1m"), hashed(max_time="1m", threads=2))
        self.assertEqual(hashed(max_time="1m", threads=0),
                         hashed(max_time="1m", threads=len(os.sched_getaffinity(0))))
        before = hashed(tokenizer=self.write("tokenizer", "x"))
        self.assertEqual(before, hashed(tokenizer=self.write("elsewhere", "x")))
        self.assertNotEqual(before, hashed(tokenizer=self.write("tokenizer", "y")))


class Preparation(InFolder):
    def test_what_is_left_of_other_settings_is_never_gone_on_with(self):
        here = self.read(SMALL)
        found = runner.Runner(here, None, None, self.folder.name, {})
        of = [runner.Run(here.variations[0], 0, here.rungs[0], 1, {}, {}, {}, name)
              for name in ("old", "new")]
        folder = found.run_folder(of[0])
        self.assertEqual(found._prepare(of[0], folder)[0], here.base)
        os.makedirs(os.path.join(folder, "checkpoints"))
        checkpoint = os.path.join(folder, "checkpoints", "step-1.safetensors")
        with open(checkpoint, "w", encoding="utf-8"):
            pass
        self.assertEqual(found._prepare(of[0], folder), ["--resume", "--out", folder])
        # The second time is as after a kill before sluice has overwritten anything.
        for _ in range(2):
            self.assertIn("--overwrite", found._prepare(of[1], folder))
            self.assertFalse(os.path.exists(checkpoint))


class Pause(unittest.TestCase):
    def test_a_run_by_time_is_not_held(self):
        stop = program.Stop.__new__(program.Stop)
        stop.timed, stop._child = True, unittest.mock.Mock()
        with unittest.mock.patch("os.kill") as kill, \
                unittest.mock.patch("sys.stderr", io.StringIO()) as said:
            stop._suspend(None, None)
            kill.assert_not_called()
            stop._child.send_signal.assert_not_called()
            self.assertIn("no pause", said.getvalue())
            stop.timed = False
            stop._suspend(None, None)
            kill.assert_called_once()


if __name__ == "__main__":
    unittest.main()
