#!/usr/bin/python3
"""Speed of training a gated convolutional language model in PyTorch, for comparison with Sluice.

The network of configs with full softmax, operation by operation as DESIGN's section on the network
has it: embedding -> dropout -> blocks of [dropout -> weight-normed causal convolution -> GLU ->
(x + h) sqrt(1/2)] -> dropout -> linear -> cross-entropy; Nesterov SGD and clipping. The
convolution takes one of two forms, because which is faster depends on the machine:
  conv1d  torch.nn.functional.conv1d over B x C x T
  unfold  the k shifted inputs side by side, then one linear product over B x T x kC

Needs Debian's python3-torch. Prints JSON lines: first what ran, then one per timed batch of steps.
"""

import argparse
import json
import time

import torch
import torch.nn.functional as F
from torch import nn


def parse_args():
    parser = argparse.ArgumentParser(description="Times training of a GCNN in PyTorch.")
    parser.add_argument("--form", choices=["conv1d", "unfold"], required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--vocab", type=int, default=10000)
    parser.add_argument("--channels", type=int, default=256, help="of embedding and layers")
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--kernel", type=int, default=4)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--batch", type=int, default=20, help="sequences")
    parser.add_argument("--tokens", type=int, default=70, help="per sequence")
    parser.add_argument("--warmup", type=int, default=3, help="steps before the clock starts")
    parser.add_argument("--steps", type=int, default=5, help="in one timed batch of steps")
    parser.add_argument("--repeats", type=int, default=4, help="timed batches of steps")
    return parser.parse_args()


class GatedLayer(nn.Module):
    """dropout -> weight-normed causal convolution to 2C -> GLU."""

    def __init__(self, args):
        super().__init__()
        self.form, self.rate, self.kernel = args.form, args.dropout, args.kernel
        shape = (2 * args.channels, args.channels, args.kernel)
        if self.form == "unfold":
            shape = (shape[0], shape[1] * shape[2])
        deviation = (4 * (1 - args.dropout) / (args.kernel * args.channels)) ** 0.5
        self.v = nn.Parameter(torch.randn(shape) * deviation)
        self.g = nn.Parameter(torch.norm_except_dim(self.v.data, 2, 0))
        self.bias = nn.Parameter(torch.zeros(shape[0]))

    def forward(self, x):
        x = F.dropout(x, self.rate, self.training)
        weight = torch._weight_norm(self.v, self.g, 0)  # what nn.utils.weight_norm calls
        if self.form == "conv1d":
            return F.glu(F.conv1d(F.pad(x, (self.kernel - 1, 0)), weight, self.bias), 1)
        time_steps = x.shape[1]
        x = F.pad(x, (0, 0, self.kernel - 1, 0))
        taps = torch.cat([x[:, j:j + time_steps] for j in range(self.kernel)], 2)
        return F.glu(F.linear(taps, weight, self.bias), 2)


class GatedConvLm(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.form, self.rate = args.form, args.dropout
        self.embedding = nn.Embedding(args.vocab, args.channels)
        nn.init.normal_(self.embedding.weight, 0, 0.1)
        self.layers = nn.ModuleList(GatedLayer(args) for _ in range(args.layers))
        self.output = nn.Linear(args.channels, args.vocab)

    def forward(self, inputs, targets):
        x = F.dropout(self.embedding(inputs), self.rate, self.training)
        if self.form == "conv1d":
            x = x.transpose(1, 2)
        for layer in self.layers:
            x = (x + layer(x)) * 0.5 ** 0.5
        if self.form == "conv1d":
            x = x.transpose(1, 2)
        logits = self.output(F.dropout(x, self.rate, self.training))
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))


def zipf_batches(args):
    """Endless B x (T+1) batches of word ids whose frequency falls as 1/rank."""
    weights = 1.0 / torch.arange(1, args.vocab + 1)
    while True:
        ids = torch.multinomial(weights, args.batch * (args.tokens + 1), replacement=True)
        yield ids.view(args.batch, args.tokens + 1)


def blas_in_use():
    """File names of the BLAS libraries this process has loaded."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        paths = {line.split()[-1] for line in maps if "/" in line}
    names = {path.rsplit("/", 1)[-1] for path in paths}
    return sorted(n for n in names if any(b in n for b in ("blas", "mkl", "blis", "atlas")))


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    model = GatedConvLm(args)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.99, nesterov=True)
    batches = zipf_batches(args)

    def step():
        batch = next(batches)
        loss = model(batch[:, :-1], batch[:, 1:])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        return loss.item()

    for _ in range(args.warmup):
        step()
    print(json.dumps({"peer": "torch", "version": torch.__version__, "form": args.form,
                      "threads": torch.get_num_threads(), "blas": blas_in_use(),
                      "parameters": sum(p.numel() for p in model.parameters())}), flush=True)
    for _ in range(args.repeats):
        start = time.perf_counter()
        for _ in range(args.steps):
            loss = step()
        seconds = time.perf_counter() - start
        rate = args.steps * args.batch * args.tokens / seconds
        print(json.dumps({"tokens_per_second": round(rate, 1), "loss": round(loss, 4)}), flush=True)


if __name__ == "__main__":
    main()
