"""The table of an experiment: for a terminal, and in Markdown for a page or a paper's appendix."""

from . import results as figures
from .text import perplexity, size


def _rate(record, compare):
    """What turns a loss of the record's curve into what is compared; bits per byte go with it."""
    return 1 if compare == "valid_loss" else record["bits_per_byte"] / record["valid_loss"]


def _spread(at):
    if not at.finite:
        return "-"
    return f"{at.mean:.4f}" + ("" if at.spread is None else f" ± {at.spread:.4f}")


def _perplexity(at):
    if not at.finite:
        return "-"
    text = f"{perplexity(at.mean):.2f}"
    if len(at.finite) > 1:
        text += f" ({perplexity(min(at.finite)):.2f}-{perplexity(max(at.finite)):.2f})"
    return text


def _seeds(at):
    missing = f" of {at.seeds}" if len(at.records) < at.seeds else ""
    return f"{len(at.records)}{missing}" + (f", {at.diverged} diverged" if at.diverged else "")


def _at(at, tokens, compare):
    """Mean over the seeds that got that far."""
    values = [loss * _rate(record, compare) for record in at.records if record["status"] == "done"
              for loss in [figures.loss_at(record, tokens)] if loss is not None]
    return f"{sum(values) / len(values):.4f}" if values else "-"


def _optional(value, form):
    return "-" if value is None else form(value)


def rows(experiment, ranked):
    """Header and cells. Right-aligned are all columns but the variation's name."""
    several = len(experiment.rungs) > 1
    nats = experiment.compare == "valid_loss"
    header = ["rank", "variation", *(["budget"] if several else []),
              "validation loss" if nats else "bits per byte", *(["perplexity"] if nats else []),
              "seeds", "parameters", "tokens/s", "minutes",
              *(f"at {size(n)} tokens" for n in experiment.report_tokens)]
    body = []
    for rank, at in enumerate(ranked, 1):
        body.append([
            str(rank), at.variation.name,
            *([str(experiment.rungs[at.rung_index])] if several else []),
            _spread(at), *([_perplexity(at)] if nats else []), _seeds(at),
            _optional(at.average("parameters"), size),
            _optional(at.average("tokens_per_second"), size),
            _optional(at.average("seconds"), lambda seconds: f"{seconds / 60:.1f}"),
            *(_at(at, n, experiment.compare) for n in experiment.report_tokens)])
    return header, body


def caption(experiment, ranked):
    """What a reader of the table must know: what was trained how long, what the figures are."""
    base = experiment.base.rsplit("/", 1)[-1].removesuffix(".json")
    budgets = ", then ".join(str(rung) for rung in experiment.rungs)
    unit = "nats per token" if experiment.compare == "valid_loss" else "bits per byte"
    text = f"{experiment.title}. Config {base}, {budgets} per run; best validation in {unit}, mean"
    if any(at.spread is not None for at in ranked):
        text += " ± sample standard deviation over the seeds"
        if experiment.compare == "valid_loss":
            text += ", perplexity of the mean (lowest-highest seed)"
    made = sorted({f"{record['version']} ({record['commit']})" if record["commit"]
                   else record["version"] for at in ranked for record in at.records})
    precisions = sorted({r["precision"] for at in ranked for r in at.records if r["precision"]})
    return f"{text}. Trained by {', '.join(made)}" + (
        f" in {', '.join(precisions)}." if precisions else ".")


def plain(experiment, ranked):
    header, body = rows(experiment, ranked)
    widths = [max(len(row[i]) for row in [header, *body]) for i in range(len(header))]
    lines = ["  ".join(cell.ljust(width) if i == 1 else cell.rjust(width)
                       for i, (cell, width) in enumerate(zip(row, widths))).rstrip()
             for row in [header, *body]]
    return "\n".join([*lines, "", caption(experiment, ranked)])


def markdown(experiment, ranked):
    header, body = rows(experiment, ranked)
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
             for row in [header, *body]]
    lines.insert(1, "|" + "|".join("---" if i == 1 else "---:" for i in range(len(header))) + "|")
    return "\n".join([*lines, "", caption(experiment, ranked)])
