"""The network of a Sluice config, read without Sluice and without PyTorch.

Takes the part of the config that the peers build the same network from; whatever they would build
differently is a ConfigError that names the key.
"""

import dataclasses
import json
import os
import re

# A string, which is kept, or a comment.
_STRING_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)


class ConfigError(Exception):
    """One line: PATH: KEY: what is wrong."""


@dataclasses.dataclass(frozen=True)
class Layer:
    kernel: int
    inputs: int
    channels: int
    dilation: int


@dataclasses.dataclass(frozen=True)
class Network:
    """Defaults as Sluice's where a config leaves a key out."""

    name: str
    vocabulary: int
    embedding_dim: int
    input_projection: bool
    blocks: tuple  # of tuples of Layer, `repeat` spelt out
    weight_norm: bool
    residual_scale: float
    dropout: dict  # embedding, layer, output, tail
    cutoffs: tuple  # empty: a whole softmax
    tail_div: int
    bias: bool  # of a whole softmax
    batch: int
    tokens: int  # per sequence
    lr: float
    momentum: float
    clip_norm: float  # 0: off

    @property
    def first_width(self):
        return self.blocks[0][0].inputs

    @property
    def last_width(self):
        return self.blocks[-1][-1].channels

    def parameters(self):
        """What a run stores: with weight norm a length for each output channel beside the
        directions."""
        def product(inputs, outputs):
            return outputs * (inputs + 1 + (1 if self.weight_norm else 0))

        total = self.vocabulary * self.embedding_dim
        if self.input_projection:
            total += product(self.embedding_dim, self.first_width)
        for block in self.blocks:
            total += sum(product(layer.kernel * layer.inputs, 2 * layer.channels)
                         for layer in block)
            if block[0].inputs != block[-1].channels:
                total += product(block[0].inputs, block[-1].channels)
        width = self.last_width
        if not self.cutoffs:
            return total + self.vocabulary * (width + (1 if self.bias else 0))
        total += width * (self.cutoffs[0] + len(self.cutoffs))
        ends = (*self.cutoffs[1:], self.vocabulary)
        for tail, (begin, end) in enumerate(zip(self.cutoffs, ends), start=1):
            total += width // self.tail_div ** tail * (width + end - begin)
        return total


def parse_commented_json(text):
    """JSON with // and /* */ comments."""
    def replace(match):
        return match.group() if match.group().startswith('"') else " "

    return json.loads(_STRING_OR_COMMENT.sub(replace, text))


class _Reader:
    def __init__(self, path, root):
        self.path, self.root = path, root

    def fail(self, key, what):
        raise ConfigError(f"{self.path}: {key}: {what}")

    def get(self, key, default):
        value = self.root
        for part in key.split("."):
            if not isinstance(value, dict):
                self.fail(key, f"stands in something that is no object (found {value!r})")
            if part not in value:
                return default
            value = value[part]
        return value

    def require(self, key, default, *allowed):
        """The peers know nothing else for this key."""
        value = self.get(key, default)
        if value not in allowed:
            known = " or ".join(json.dumps(a) for a in allowed)
            self.fail(key, f"the peers have no such network (expected {known}, "
                           f"found {json.dumps(value)})")
        return value

    def number(self, key, default, least, kind):
        return self.checked(key, self.get(key, default), least, kind)

    def checked(self, key, value, least, kind):
        good = (int,) if kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, good) or value < least:
            name = "a whole number" if kind is int else "a number"
            self.fail(key, f"not known to the peers (expected {name} of {least} or more, "
                           f"found {json.dumps(value)})")
        return kind(value)


def _read_blocks(read, first_width):
    """(blocks, whether an input projection leads to the first one)."""
    default = [{"layers": [{}], "repeat": 8}]
    specs = read.get("model.blocks", default)
    if not isinstance(specs, list) or not specs:
        read.fail("model.blocks", "expected a list of blocks")
    blocks, projected, width = [], False, first_width
    for number, spec in enumerate(specs):
        key = f"model.blocks[{number}]"
        layers = spec.get("layers", [{}]) if isinstance(spec, dict) else None
        if not isinstance(layers, list) or not layers or not all(
                isinstance(layer, dict) for layer in layers):
            read.fail(key, "expected {\"layers\": [{…}, …]}")
        for _ in range(read.checked(f"{key}.repeat", spec.get("repeat", 1), 1, int)):
            block = []
            for at, layer in enumerate(layers):
                where = f"{key}.layers[{at}]"
                kernel, channels, dilation = (
                    read.checked(f"{where}.{name}", layer.get(name, value), 1, int)
                    for name, value in (("kernel", 4), ("channels", 256), ("dilation", 1)))
                if not blocks and not block:  # the projection leads to the first layer's width
                    always = read.require("model.input_projection", "auto", "auto", "always")
                    projected = always == "always" or width != channels
                    width = channels
                block.append(Layer(kernel, width, channels, dilation))
                width = channels
            blocks.append(tuple(block))
    return tuple(blocks), projected


def _read_cutoffs(read, vocabulary, width, tail_div):
    if read.require("model.output.type", "adaptive", "adaptive", "softmax") == "softmax":
        return ()
    cutoffs = read.get("model.output.cutoffs", "auto")
    if not isinstance(cutoffs, list):
        read.fail("model.output.cutoffs", f"the peers choose none (expected a list of numbers, "
                                          f"found {json.dumps(cutoffs)})")
    for at, cutoff in enumerate(cutoffs):
        key = f"model.output.cutoffs[{at}]"
        read.checked(key, cutoff, cutoffs[at - 1] + 1 if at > 0 else 1, int)
        if cutoff >= vocabulary:
            read.fail(key, f"beyond the vocabulary (expected below {vocabulary}, found {cutoff})")
        if width // tail_div ** (at + 1) == 0:
            read.fail(key, "no channel left for its tail")
    return tuple(cutoffs)


def parse_network(text, path):
    """The network of a config's text; path only names it."""
    try:
        root = parse_commented_json(text)
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from None
    if not isinstance(root, dict):
        raise ConfigError(f"{path}: not a config (expected a JSON object)")
    read = _Reader(path, root)
    for key, default in (("model.gate", "glu"), ("optimizer.type", "nag"),
                         ("optimizer.weight_decay", 0), ("train.accumulate_steps", 1),
                         ("train.ema_decay", 0),
                         ("model.output.tied", False), ("model.output.projection", None),
                         ("model.dropout.weight", 0), ("model.dropout.word", 0),
                         ("model.dropout.embedding_locked", False),
                         ("model.dropout.layer_locked", False),
                         ("model.dropout.output_locked", False),
                         ("model.activation_l2", 0), ("model.activation_change_l2", 0),
                         ("data.context_tokens", 0), ("data.carry_context", False)):
        read.require(key, default, default)
    vocabulary = read.number("tokenizer.vocab_size", "auto", 2, int)
    embedding_dim = read.number("model.embedding_dim", 256, 1, int)
    blocks, projected = _read_blocks(read, embedding_dim)
    tail_div = read.number("model.output.tail_div", 4, 1, int)
    width = blocks[-1][-1].channels
    return Network(
        name=os.path.splitext(os.path.basename(path))[0], vocabulary=vocabulary,
        embedding_dim=embedding_dim, input_projection=projected, blocks=blocks,
        weight_norm=read.require("model.norm", "weight", "weight", "none") == "weight",
        residual_scale=read.number("model.residual_scale", 0.5 ** 0.5, 0, float),
        dropout={site: read.number(f"model.dropout.{site}", rate, 0, float)
                 for site, rate in (("embedding", 0.1), ("layer", 0.1), ("output", 0.1),
                                    ("tail", 0))},
        cutoffs=_read_cutoffs(read, vocabulary, width, tail_div), tail_div=tail_div,
        bias=read.require("model.output.bias", True, True, False),
        batch=read.number("data.batch_size", 32, 1, int),
        tokens=read.number("data.tokens_per_sample", 256, 1, int),
        lr=read.number("optimizer.lr", 1.0, 0, float),
        momentum=read.number("optimizer.momentum", 0.99, 0, float),
        clip_norm=read.number("optimizer.clip_norm", 0.1, 0, float))


def read_network(path):
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"{path}: cannot be read: {reason}") from None
    return parse_network(text, path)
