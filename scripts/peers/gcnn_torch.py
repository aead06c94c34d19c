#!/usr/bin/env python3
"""Speed of the network of a Sluice config in PyTorch, training or evaluation.

A training step is zero_grad, forward, backward, clip_grad_norm_ and SGD with Nesterov's momentum
on B x T words drawn as `sluice bench` draws them; evaluation is forward and loss with the weight
norm multiplied out beforehand. Prints one JSON line. See README.md here.
"""

import argparse
import contextlib
import inspect
import json
import math
import statistics
import sys
import time

import machine
import network as networks


def parse_args():
    parser = argparse.ArgumentParser(description="Times the network of a config in PyTorch.")
    parser.add_argument("config", help="with all sizes given, e.g. configs/bench/small.json")
    parser.add_argument("--form", choices=["conv1d", "linear"], default="conv1d")
    parser.add_argument("--what", choices=["train", "eval"], default="train")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32",
                        help="bf16: torch.autocast on the CPU")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warmup", type=int, default=2, help="steps before the clock starts")
    parser.add_argument("--steps", type=int, default=20, help="timed steps")
    parser.add_argument("--seconds", type=float, default=math.inf,
                        help="time no further steps after so long, but three at least")
    args = parser.parse_args()
    if min(args.threads, args.steps) < 1 or args.warmup < 0 or not args.seconds > 0:
        parser.error("--threads and --steps must be at least 1, --warmup not negative, --seconds "
                     "above 0")
    try:
        args.network = networks.read_network(args.config)
    except networks.ConfigError as error:
        parser.exit(2, f"error: {error}\n")
    return args


def word_batches(torch, network):
    """Endless B x (T + 1) ids, p(w) ~ 1 / (w + 10)."""
    below = torch.cumsum(1 / (torch.arange(network.vocabulary, dtype=torch.float64) + 10), 0)
    while True:
        drawn = torch.rand(network.batch, network.tokens + 1, dtype=torch.float64) * below[-1]
        yield torch.searchsorted(below, drawn, right=True).clamp_(max=network.vocabulary - 1)


def trainer(torch, network, model, autocast):
    """One training step, as a function of a batch."""
    # The fastest update that this PyTorch has.
    known = inspect.signature(torch.optim.SGD).parameters
    fastest = next(({name: True} for name in ("fused", "foreach") if name in known), {})
    optimizer = torch.optim.SGD(model.parameters(), lr=network.lr, momentum=network.momentum,
                                nesterov=network.momentum > 0, **fastest)
    parameters = list(model.parameters())

    def step(inputs, targets):
        optimizer.zero_grad(set_to_none=True)
        with autocast():
            loss = model(inputs, targets)
        loss.backward()
        if network.clip_norm > 0:
            torch.nn.utils.clip_grad_norm_(parameters, network.clip_norm)
        optimizer.step()
        return loss.item()

    return step


def evaluator(torch, model, autocast, dtype):
    model.eval()
    model.fold(dtype)

    def step(inputs, targets):
        with torch.inference_mode(), autocast():
            return model(inputs, targets).item()

    return step


def measure(torch, args):
    from gcnn_model import GatedConvLm  # pylint: disable=import-outside-toplevel
    network = args.network
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(1)
    model = GatedConvLm(network, args.form)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    bf16 = args.precision == "bf16"
    autocast = (lambda: torch.autocast("cpu", torch.bfloat16)) if bf16 else contextlib.nullcontext
    if args.what == "train":
        step = trainer(torch, network, model, autocast)
    else:
        step = evaluator(torch, model, autocast, torch.bfloat16 if bf16 else torch.float32)
    batches = word_batches(torch, network)
    losses, times, began = [], [], None
    for number in range(args.warmup + args.steps):
        batch = next(batches)
        start = time.perf_counter()
        if number == args.warmup:
            began = start
        losses.append(step(batch[:, :-1], batch[:, 1:]))
        end = time.perf_counter()
        if began is not None:
            times.append(end - start)
            if len(times) >= 3 and end - began > args.seconds:
                break
    if not all(map(math.isfinite, losses)):
        sys.exit(f"error: {args.config}: the loss is not finite, so the times mean nothing")
    return {"tokens_per_second": network.batch * network.tokens / statistics.median(times),
            "steps": len(times), "loss_first": losses[0], "loss_last": losses[-1],
            "parameters": parameters}


def main():
    args = parse_args()
    machine.restart_with_torch()
    machine.restart_with_fast_blas(args.threads)
    import torch  # pylint: disable=import-outside-toplevel
    blas = machine.require_fast_blas(torch.__config__.show())
    result = {"config": args.config, "what": args.what, "form": args.form,
              "precision": args.precision, "threads": args.threads, **measure(torch, args),
              "torch": torch.__version__, "blas": blas}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
