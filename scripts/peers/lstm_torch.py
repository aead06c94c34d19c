#!/usr/bin/env python3
"""Trains a tied LSTM of two layers on words, as well as a time allows, and prints its exact
perplexity on the validation text, and on a test text if there is one, as one JSON line.

Words are what blanks separate, ends of lines count, as in sluice's word tokenizer; the vocabulary
is that of the training text. Everything that picks the model counts in --max-time: training,
validation in between and the copies of the best weights. The perplexity of the best weights in one
stream, which is reported, is measured afterwards, as `sluice eval` would be. See README.md here.
"""

import argparse
import copy
import json
import math
import re
import sys
import time

import machine

UNKNOWN, END = "<unk>", "<eos>"
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
LR = {"sgd": 20.0, "adam": 0.002}
CLIP = {"sgd": 0.25, "adam": 1.0}
QUICK_STREAMS = 20  # of a validation during training


def parse_time(text):
    """Seconds of 90s, 90m, 2h."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if not match or not float(match[1]) > 0:
        raise argparse.ArgumentTypeError(f"expected a time such as 90s, 60m or 2h, found {text!r}")
    return float(match[1]) * UNITS[match[2]]


def parse_args(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", metavar="FILE", required=True)
    parser.add_argument("--valid", metavar="FILE", required=True)
    parser.add_argument("--test", metavar="FILE", help="measured at the end only")
    parser.add_argument("--parameters", metavar="N", type=int, required=True,
                        help="at most; the width follows from it")
    parser.add_argument("--max-time", metavar="TIME", type=parse_time, required=True,
                        help="90s, 60m, 2h")
    parser.add_argument("--optimizer", choices=list(LR), default="sgd")
    parser.add_argument("--schedule", choices=["plateau", "cosine"], default="cosine",
                        help="plateau: lr / 4 whenever a validation is no better than the best; "
                             "cosine: to zero over the time")
    parser.add_argument("--lr", type=float, help="default: sgd 20, adam 0.002")
    parser.add_argument("--clip", type=float, metavar="NORM",
                        help="of the gradient (default: sgd 0.25, adam 1)")
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--batch", type=int, default=20, help="streams (default 20)")
    parser.add_argument("--window", type=int, default=35,
                        help="words that gradients go back through (default 35)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(arguments)
    args.lr = LR[args.optimizer] if args.lr is None else args.lr
    args.clip = CLIP[args.optimizer] if args.clip is None else args.clip
    if min(args.batch, args.window, args.threads) < 1 or not args.lr > 0 or not args.clip > 0 \
            or not 0 <= args.dropout < 1:
        parser.error("--batch, --window and --threads must be at least 1, --lr and --clip above 0, "
                     "--dropout from 0 to below 1")
    return args


def parameters(vocabulary, width):
    """Embedding and output in one, its bias, two layers with PyTorch's two biases each."""
    return vocabulary * width + 2 * (8 * width * width + 8 * width) + vocabulary


def width_for(vocabulary, most):
    """The widest network of at most so many parameters."""
    linear = vocabulary + 16
    width = int((math.sqrt(linear * linear + 64 * max(most - vocabulary, 0)) - linear) / 32)
    while parameters(vocabulary, width + 1) <= most:
        width += 1
    while width > 0 and parameters(vocabulary, width) > most:
        width -= 1
    return width


def read_words(path):
    with open(path, encoding="utf-8") as file:
        return [word for line in file for word in (*line.split(), END)]


def read_ids(train, *others):
    """(ids of the training text, of each other text, vocabulary); 0 ends a line, 1 is unknown.
    All words of the training text are known."""
    words = read_words(train)
    known = {word: number for number, word in enumerate(dict.fromkeys([END, UNKNOWN, *words]))}
    return ([known[w] for w in words],
            *([known.get(w, 1) for w in read_words(path)] for path in others), len(known))


class Clock:
    """How much of the time is gone, and whether something still fits."""

    def __init__(self, seconds):
        self.began, self.seconds = time.perf_counter(), seconds

    def elapsed(self):
        return time.perf_counter() - self.began

    def fits(self, seconds):
        return self.elapsed() + seconds <= self.seconds


def windows(torch, ids, batch, window):
    """Endless (inputs, targets, whether the state starts anew, part of an epoch) from the text in
    `batch` parallel streams; each epoch is cut at other places."""
    while True:
        begin = int(torch.randint(min(window, max(len(ids) - 2 * batch, 1)), ()))
        rows = (len(ids) - begin - 1) // batch
        inputs, targets = (ids[at:at + rows * batch].view(batch, rows).t().contiguous()
                           for at in (begin, begin + 1))
        for at in range(0, rows, window):
            part = inputs[at:at + window]
            yield part, targets[at:at + window], at == 0, len(part) / rows


def optimizer_for(torch, args, model):
    if args.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), lr=args.lr)
    return torch.optim.Adam(model.parameters(), lr=args.lr, foreach=True)


class Trainer:
    def __init__(self, torch, args, model, ids, evaluate, valid_tokens):
        """evaluate: of the model, nats per token of the validation text."""
        self.torch, self.args, self.model, self.evaluate = torch, args, model, evaluate
        self.batches = windows(torch, ids, args.batch, args.window)
        self.optimizer = optimizer_for(torch, args, model)
        self.best, self.best_weights = math.inf, None
        self.divisor = 1.0  # of lr, by the plateaus so far
        self.valid_tokens, self.validation_seconds, self.validations = valid_tokens, 0.0, 0
        self.tokens, self.epochs, self.state = 0, 0.0, None
        self.validated = 0  # tokens seen before the last validation

    def lr(self, elapsed):
        """elapsed: of all the time, in [0, 1]."""
        if self.args.schedule == "cosine":
            return self.args.lr * (1 + math.cos(math.pi * min(elapsed, 1.0))) / 2
        return self.args.lr / self.divisor

    def step(self, lr):
        inputs, targets, anew, part = next(self.batches)
        if anew:
            self.state = self.model.start(self.args.batch)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        loss, state = self.model(inputs, targets, self.state)
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.args.clip)
        self.optimizer.step()
        self.state = tuple(x.detach() for x in state)
        self.tokens += inputs.numel()
        self.epochs += part
        return loss.item()

    def validate(self, clock):
        began = clock.elapsed()
        loss = self.evaluate(self.model)
        if loss < self.best:
            self.best, self.best_weights = loss, copy.deepcopy(self.model.state_dict())
        else:
            self.divisor *= 4
        self.validations += 1
        self.validated = self.tokens
        self.validation_seconds = clock.elapsed() - began
        print(f"{clock.elapsed():.0f}s | epoch {self.epochs:.2f} | valid loss {loss:.4f} | "
              f"lr {self.lr(clock.elapsed() / clock.seconds):.3g} | "
              f"{self.tokens / clock.elapsed():.0f} tok/s", file=sys.stderr, flush=True)

    def train(self, clock):
        """Until the last validation that fits, which ends the training."""
        due, slowest = 0.1 * clock.seconds, 0.0
        while clock.fits(1.1 * self.validation_seconds + 2 * slowest):
            before = clock.elapsed()
            loss = self.step(self.lr(before / max(clock.seconds - self.validation_seconds, 1e-3)))
            if not math.isfinite(loss):
                print(f"{clock.elapsed():.0f}s | the loss is not finite", file=sys.stderr)
                return
            slowest = max(slowest, clock.elapsed() - before)
            if self.validations == 0:
                # Without the way back, which takes two thirds of a step.
                self.validation_seconds = clock.elapsed() / self.tokens * self.valid_tokens / 2
            if clock.elapsed() >= due and clock.fits(3 * self.validation_seconds):
                self.validate(clock)
                due = clock.elapsed() + max(clock.seconds / 20, 20 * self.validation_seconds)
        if self.tokens > self.validated:
            self.validate(clock)


def run(torch, args):
    from lstm_model import LstmLm, evaluate  # pylint: disable=import-outside-toplevel
    train, valid, *test, vocabulary = read_ids(args.train, args.valid,
                                               *([args.test] if args.test else []))
    width = width_for(vocabulary, args.parameters)
    if width < 1:
        sys.exit(f"error: --parameters: too few for {vocabulary} words (expected at least "
                 f"{parameters(vocabulary, 1)}, found {args.parameters})")
    if len(train) <= 2 * args.batch:
        sys.exit(f"error: {args.train}: too short for --batch {args.batch}")
    texts = {"valid": torch.tensor(valid), **({"test": torch.tensor(test[0])} if test else {})}
    train, valid = torch.tensor(train), texts["valid"]
    clock = Clock(args.max_time)
    torch.manual_seed(args.seed)
    model = LstmLm(vocabulary, width, args.dropout)
    trainer = Trainer(torch, args, model, train,
                      lambda model: evaluate(model, valid, 0, QUICK_STREAMS), len(valid))
    trainer.train(clock)
    seconds = clock.elapsed()
    if trainer.best_weights is not None:
        model.load_state_dict(trainer.best_weights)
    result = {}
    for name, ids in texts.items():
        nats = math.inf if trainer.best_weights is None else evaluate(model, ids, 0)
        result |= {f"{name}_perplexity": math.exp(nats) if nats < 700 else math.inf,
                   f"{name}_nats": nats}
    if test:
        result["test_tokens"] = len(texts["test"])
    return {**result, "tokens": len(valid),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "width": width, "vocabulary": vocabulary, "epochs": round(trainer.epochs, 3),
            "seconds": seconds, "tokens_per_second": trainer.tokens / seconds,
            "validations": trainer.validations}


def main():
    args = parse_args()
    machine.restart_with_torch()
    machine.restart_with_fast_blas(args.threads)
    import torch  # pylint: disable=import-outside-toplevel
    blas = machine.require_fast_blas(torch.__config__.show())
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    keys = "optimizer schedule lr clip dropout batch window threads seed max_time".split()
    try:
        result = run(torch, args)
    except OSError as error:
        sys.exit(f"error: {error.filename}: {error.strerror}")
    print(json.dumps({**result, "settings": {key: getattr(args, key) for key in keys},
                      "torch": torch.__version__, "blas": blas}))


if __name__ == "__main__":
    main()
