#!/usr/bin/env python3
"""Tests of scripts/peers: what is read from a config, what is refused, the table; with a binary of
Sluice as argument also that PyTorch computes Sluice's loss from Sluice's weights. What needs
PyTorch is skipped where no Python has it."""

import argparse
import contextlib
import io
import json
import math
import os
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PEERS = os.path.join(ROOT, "scripts", "peers")
sys.path.insert(0, PEERS)
import compare  # pylint: disable=wrong-import-position
import machine  # pylint: disable=wrong-import-position
import network as networks  # pylint: disable=wrong-import-position

SLUICE = None  # the binary, if one was named

# Every projection, a block of two layers, a dilation, sizes that no vector divides.
ODD = {
    "data": {"tokens_per_sample": 16, "batch_size": 4},
    "tokenizer": {"type": "word", "vocab_size": 150},
    "model": {"embedding_dim": 10,
              "blocks": [{"layers": [{"kernel": 3, "channels": 12, "dilation": 2},
                                     {"kernel": 2, "channels": 18}]},
                         {"layers": [{"kernel": 4, "channels": 18}], "repeat": 2},
                         {"layers": [{"kernel": 1, "channels": 20}]}],
              "output": {"type": "adaptive", "cutoffs": [20, 70], "tail_div": 2}},
    "optimizer": {"type": "nag", "lr": 0.5},
    "train": {"max_steps": 5},
}


def changed(key, value):
    config = json.loads(json.dumps(ODD))
    *path, last = key.split(".")
    place = config
    for part in path:
        place = place.setdefault(part, {})
    place[last] = value
    return config


def parse(config):
    return networks.parse_network(json.dumps(config), "some/odd.json")


class Config(unittest.TestCase):
    def test_comments(self):
        text = '// first\n{"a": "x // y /* z */ \\" // q", /* over\nlines */ "b": 1 // end\n}'
        self.assertEqual(networks.parse_commented_json(text),
                         {"a": 'x // y /* z */ " // q', "b": 1})

    def test_defaults_are_those_of_sluice(self):
        network = parse({"tokenizer": {"vocab_size": 10},
                         "model": {"output": {"type": "softmax"}}})
        self.assertEqual(network.blocks, 8 * ((networks.Layer(4, 256, 256, 1),),))
        self.assertEqual((network.embedding_dim, network.input_projection), (256, False))
        self.assertEqual((network.batch, network.tokens), (32, 256))
        self.assertEqual((network.lr, network.momentum, network.clip_norm), (1.0, 0.99, 0.1))
        self.assertEqual(network.dropout, {"embedding": .1, "layer": .1, "output": .1, "tail": 0})

    def test_shapes(self):
        network = parse(ODD)
        self.assertEqual(network.name, "odd")
        self.assertTrue(network.input_projection)
        self.assertEqual([[(x.kernel, x.inputs, x.channels, x.dilation) for x in block]
                          for block in network.blocks],
                         [[(3, 12, 12, 2), (2, 12, 18, 1)], [(4, 18, 18, 1)], [(4, 18, 18, 1)],
                          [(1, 18, 20, 1)]])
        self.assertFalse(parse(changed("model.embedding_dim", 12)).input_projection)

    def test_parameters(self):
        # Counted by hand: one layer, one tail, widths that differ once.
        network = parse({"tokenizer": {"vocab_size": 7}, "model": {
            "embedding_dim": 2, "blocks": [{"layers": [{"kernel": 3, "channels": 4}]}],
            "output": {"cutoffs": [5], "tail_div": 2}}})
        embedding, projection, body = 7 * 2, 2 * 4 + 4 + 4, 3 * 4 * 8 + 8 + 8
        head, tail = (5 + 1) * 4, 4 * 2 + 2 * 2
        self.assertEqual(network.parameters(), embedding + projection + body + head + tail)
        softmax = parse({"tokenizer": {"vocab_size": 7}, "model": {
            "embedding_dim": 4, "norm": "none", "output": {"type": "softmax"},
            "blocks": [{"layers": [{"kernel": 3, "channels": 4}]}]}})
        self.assertEqual(softmax.parameters(), 7 * 4 + (3 * 4 * 8 + 8) + 7 * 4 + 7)

    def test_shipped_networks(self):
        folder = os.path.join(ROOT, "configs", "bench")
        if not os.path.isdir(folder):
            self.skipTest("no configs/bench")
        read = {name: networks.read_network(os.path.join(folder, name + ".json"))
                for name in ("tiny", "small", "medium", "gcnn8")}
        self.assertEqual({name: n.parameters() for name, n in read.items()},
                         {"tiny": 1040336, "small": 7615488, "medium": 37667776,
                          "gcnn8": 157536260})

    def test_what_the_peers_do_not_build_is_refused_by_its_key(self):
        for key, value in (("model.gate", "gtu"), ("model.norm", "batch"),
                           ("model.output.cutoffs", "auto"), ("model.output.cutoffs", [70, 20]),
                           ("model.output.cutoffs", [20, 150]), ("model.output.cutoffs", [0]),
                           ("model.output.tied", True), ("model.output.projection", 8),
                           ("model.output.type", "hierarchical"), ("model.blocks", []),
                           ("model.dropout.layer", "a"), ("model.dropout.weight", 0.5),
                           ("model.activation_l2", 2), ("model.activation_change_l2", 1),
                           ("optimizer.type", "adamw"),
                           ("optimizer.weight_decay", 0.1), ("train.accumulate_steps", 2),
                           ("train.ema_decay", 0.9), ("tokenizer.vocab_size", "auto"),
                           ("data.batch_size", 0), ("data.tokens_per_sample", 1.5)):
            with self.subTest(key=key, value=value):
                with self.assertRaisesRegex(networks.ConfigError, "^some/odd.json: " + key):
                    parse(changed(key, value))

    def test_what_is_no_config(self):
        for text, what in (("{", "not JSON"), ("[]", "expected a JSON object")):
            with self.assertRaisesRegex(networks.ConfigError, "^x: .*" + what):
                networks.parse_network(text, "x")
        with self.assertRaisesRegex(networks.ConfigError, "^/no/such.json: cannot be read"):
            networks.read_network("/no/such.json")


class Compare(unittest.TestCase):
    def refused(self, what, *arguments):
        errors = io.StringIO()
        with self.assertRaises(SystemExit) as stop, contextlib.redirect_stderr(errors):
            compare.parse_args(arguments)
        self.assertEqual(stop.exception.code, 2)
        self.assertIn(what, errors.getvalue())

    def test_arguments(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "odd.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(ODD, file)
            self.refused("no binary at /no/sluice", path, "--sluice=/no/sluice")
            self.refused("no binary at /tmp:", path, "--sluice=/tmp")
            self.refused("must be at least 1", path, "--rounds=0", "--torch-only")
            self.refused("invalid choice", path, "--precision=int8", "--torch-only")
            self.refused("/no/such.json: cannot be read", "/no/such.json", "--torch-only")
            args = compare.parse_args([path, "--torch-only", "--precision=both"])
            self.assertEqual(args.precisions, ["f32", "bf16"])
            args = compare.parse_args([path, "--torch-only", "--what=eval"])
            self.assertEqual(args.precisions, ["f32"])
            self.assertEqual((args.whats, args.networks[path]), (["eval"], parse(ODD)))
        args = compare.parse_args(["bench/small", "--torch-only"])
        self.assertEqual(args.configs, [os.path.join(ROOT, "configs", "bench", "small.json")])
        self.refused("bench/none: cannot be read", "bench/none", "--torch-only")

    def test_a_file_that_is_no_program(self):
        with tempfile.NamedTemporaryFile("w") as file:
            os.chmod(file.name, 0o755)
            file.write("\x7fno program")
            file.flush()
            with self.assertRaisesRegex(SystemExit, f"^error: .*{file.name} cannot be run: "):
                compare.run_json([file.name])

    def test_facts_name_the_kernels(self):
        about = {"kernels": {"f32": "avx2"}, "torch": "1.0", "blas": "b"}
        self.assertIn("; Sluice's avx2 kernels; PyTorch 1.0, b; ",
                      compare.facts(argparse.Namespace(torch_only=False), about))
        about["kernels"]["bf16"] = "amx"
        self.assertIn("; Sluice's amx and avx2 kernels; ",
                      compare.facts(argparse.Namespace(torch_only=False), about))
        self.assertNotIn("kernels", compare.facts(argparse.Namespace(torch_only=True), about))

    def test_table(self):
        args = argparse.Namespace(torch_only=False, whats=["train"], networks={"p": parse(ODD)})
        rates = {("Sluice", "train"): [3000, 2000, 9000], ("conv1d", "train"): [1000, 2000, 1500],
                 ("linear", "train"): [2000, 800, 900]}
        # By round 3000/2000, 2000/2000, 9000/1500; the faster form by its median is conv1d.
        self.assertEqual(compare.ratios(rates, "train"), (2.0, 1.0, 6.0))
        self.assertEqual(compare.table(args, {("p", "bf16"): rates}).splitlines(), [
            "| network |  |  | Sluice | PyTorch, conv1d | PyTorch, linear | ratio |",
            "|---|---|---|---|---|---|---|",
            "| odd | bf16 | training | 3,000 (2,000–9,000) | 1,500 (1,000–2,000) | 900 (800–2,000) | "
            "**2.00** (1.00–6.00) |"])

    def test_a_run_of_something_else_does_not_count(self):
        args = argparse.Namespace(threads=2, networks={"p": parse(ODD)})
        right = {"threads": 2, "precision": "bf16", "parameters": parse(ODD).parameters()}
        compare.check_same(args, "p", "bf16", right, "Sluice")
        for key, value in (("threads", 1), ("precision", "f32"), ("parameters", 1)):
            with self.assertRaisesRegex(SystemExit, f"p: Sluice ran something else: {key}: "):
                compare.check_same(args, "p", "bf16", {**right, key: value}, "Sluice")

    def test_each_precision_stands_beside_its_own(self):
        asked = []

        def answer(command):
            asked.append(command)
            option = {part.split("=")[0]: part.split("=")[1] for part in command if "=" in part}
            return {"threads": 2, "precision": option["--precision"], "backend": "amx",
                    "parameters": parse(ODD).parameters(), "train_tokens_per_second": 6,
                    "tokens_per_second": 2, "torch": "1.0", "blas": "b"}

        args = argparse.Namespace(threads=2, seconds=1, pause=0, torch_only=False, whats=["train"],
                                  networks={"p": parse(ODD)}, sluice="sluice", python="python")
        rates, about = {}, {}
        with unittest.mock.patch.object(compare, "run_json", answer):
            for precision in ("bf16", "bf16x3"):
                compare.run_round(args, "p", precision, rates, about)
        self.assertEqual([(command[0], part) for command in asked for part in command
                          if part.startswith("--precision")],
                         [("sluice", "--precision=bf16"), *2 * [("python", "--precision=bf16")],
                          ("sluice", "--precision=bf16x3"), *2 * [("python", "--precision=f32")]])
        self.assertEqual(compare.ratios(rates, "train"), (3.0, 3.0, 3.0))
        self.assertEqual(about["kernels"], {"bf16": "amx", "bf16x3": "amx"})


class Machine(unittest.TestCase):
    def test_openblas_that_does_not_know_the_cpu(self):
        wide = {"avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl"}
        self.assertEqual(machine.better_kernels(b"Prescott", wide), "SkylakeX")
        self.assertEqual(machine.better_kernels(b"Prescott", {"avx2", "fma"}), "Haswell")
        self.assertIsNone(machine.better_kernels(b"Prescott", {"sse3"}))
        for known in (b"Zen", b"Cooperlake", None):
            self.assertIsNone(machine.better_kernels(known, wide))

    def test_a_blas_that_is_linked_in(self):
        if machine.blas_in_use():
            self.skipTest("this Python has a BLAS")
        self.assertEqual(machine.require_fast_blas("..., BLAS_INFO=mkl, ..."), "MKL")
        with self.assertRaisesRegex(SystemExit, "reference BLAS.*none found"):
            machine.require_fast_blas("..., BLAS_INFO=generic, ...")

    def test_no_python_has_torch(self):
        with self.assertRaisesRegex(SystemExit, "python3-torch .*--dev.*--python"):
            machine.find_python("/bin/false")


# Reads weights of a Sluice model and a line of ids, prints the mean loss of both forms.
FROM_SLUICE = """
import json, struct, sys
import torch
sys.path.insert(0, sys.argv[1])
import gcnn_model, network
net = network.read_network(sys.argv[2])
data = open(sys.argv[3], "rb").read()
ids = torch.tensor([[0, *map(int, sys.stdin.read().split())]])  # 0: </s>, before the text
begin = 8 + struct.unpack("<Q", data[:8])[0]
def tensor(name, entry):
    kind = {"F32": torch.float32, "I32": torch.int32}[entry["dtype"]]
    first, last = entry["data_offsets"]
    raw = bytearray(data[begin + first:begin + last])
    return torch.frombuffer(raw, dtype=kind).reshape(entry["shape"])
weights = {name: tensor(name, entry) for name, entry in json.loads(data[8:begin]).items()
           if entry.get("dtype") in ("F32", "I32")}
ids = weights.pop("sluice.permutation").long()[ids]

def load(model, form):
    taken = {}
    for name, value in weights.items():
        name = name.replace(".conv.", ".").replace("input_projection", "projection")
        name = name.replace("weight_v", "v").replace("weight_g", "g")
        name = name.replace("output.tails.", "output.tail.")
        if ".tail." in name:
            name = name.replace(".projection.weight", ".0.weight") if "projection" in name \
                else name.replace(".weight", ".1.weight")
            value = value[0].T if ".0.weight" in name[-9:] else value
        if name.endswith(".v"):
            value = value.permute(2, 1, 0) if form == "conv1d" else value.flatten(0, 1).T
        if name.endswith(".g"):
            value = value.reshape(-1, *(1, 1) if form == "conv1d" else (1,))
        taken[name] = value
    model.load_state_dict(taken)  # strict

for form in gcnn_model.FORMS:
    model = gcnn_model.GatedConvLm(net, form).eval()
    load(model, form)
    losses = [model(ids[:, :-1], ids[:, 1:]).item()]
    model.fold(torch.float32)
    losses.append(model(ids[:, :-1], ids[:, 1:]).item())
    print(json.dumps(losses))
"""


class WithTorch(unittest.TestCase):
    skipped = False

    @classmethod
    def setUpClass(cls):
        try:
            cls.python = machine.find_python()
        except SystemExit as stop:
            cls.skipped = True
            raise unittest.SkipTest(str(stop))
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)

    def config(self, name, config):
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)
        return path

    def outputs(self):
        yield "adaptive", ODD
        yield "softmax", changed("model.output", {"type": "softmax"})

    def test_a_step_of_everything(self):
        weights = [1 / (word + 10) for word in range(150)]

        def share(begin, end):
            return sum(weights[begin:end]) / sum(weights)

        # Of a network that knows nothing, every word of a cluster is as likely.
        expected = {"softmax": math.log(150),
                    "adaptive": math.log(22) + share(20, 70) * math.log(50) +
                                share(70, 150) * math.log(80)}
        configs = dict(self.outputs())
        for output, form, what, precision in (
                ("adaptive", "conv1d", "train", "bf16"), ("adaptive", "linear", "eval", "f32"),
                ("softmax", "linear", "train", "f32"), ("softmax", "conv1d", "eval", "bf16")):
            with self.subTest(output=output, form=form, what=what, precision=precision):
                path = self.config(output + ".json", configs[output])
                done = subprocess.run(
                    [self.python, os.path.join(PEERS, "gcnn_torch.py"), path, "--threads=1",
                     f"--form={form}", f"--what={what}", f"--precision={precision}",
                     "--steps=1", "--warmup=1"], capture_output=True, text=True, check=False)
                if "reference BLAS" in done.stderr:
                    type(self).skipped = True
                    self.skipTest(done.stderr.strip())
                self.assertEqual(done.returncode, 0, done.stderr)
                result = json.loads(done.stdout)
                self.assertEqual(result["parameters"], parse(configs[output]).parameters())
                self.assertAlmostEqual(result["loss_first"], expected[output], delta=0.8)
                self.assertGreater(result["tokens_per_second"], 0)

    def test_same_loss_as_sluice_from_the_same_weights(self):
        if SLUICE is None:
            self.skipTest("no binary named")
        for output, config in self.outputs():
            with self.subTest(output=output):
                self.compare_losses(output, config)

    def compare_losses(self, output, config):
        def sluice(*command):
            return subprocess.run([SLUICE, *command], cwd=self.folder.name, capture_output=True,
                                  text=True, check=True).stdout

        words = [f"w{n * n % 148}" for n in range(600)] + [f"w{n}" for n in range(148)]
        for name, part in (("train", words), ("valid", words[:-350:-1])):
            with open(os.path.join(self.folder.name, name), "w", encoding="utf-8") as file:
                file.writelines(" ".join(part[at:at + 9]) + "\n" for at in range(0, len(part), 9))
        path, run = self.config(f"{output}.json", config), f"run-{output}"
        sluice("train", path, "--train", "train", "--valid", "valid", "--out", run,
               "--set=data.cache_dir=cache")
        expected = json.loads(sluice("eval", run, "valid", "--json"))["nats_per_token"]
        ids = sluice("tokenizer", "encode", run, "valid").replace("\n", " 0 ")
        model = os.path.join(self.folder.name, run, "best.safetensors")
        done = subprocess.run([self.python, "-c", FROM_SLUICE, PEERS, path, model], input=ids,
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        losses = [loss for line in done.stdout.splitlines() for loss in json.loads(line)]
        self.assertEqual(len(losses), 4)
        for loss in losses:
            self.assertAlmostEqual(loss, expected, delta=2e-5)


if __name__ == "__main__":
    if len(sys.argv) > 1 and os.access(sys.argv[1], os.X_OK):
        SLUICE = os.path.abspath(sys.argv.pop(1))
    run = unittest.main(exit=False).result
    if not run.wasSuccessful():
        sys.exit(1)
    # ctest's code for a test that did not run (SKIP_RETURN_CODE), so that it does not count as
    # passed where there is no PyTorch.
    sys.exit(77 if WithTorch.skipped else 0)
