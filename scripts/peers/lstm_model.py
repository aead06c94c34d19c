"""The LSTM language model that the recipes are held against, in PyTorch, and its exact loss."""

import torch
import torch.nn.functional as F
from torch import nn


class LstmLm(nn.Module):
    """Two layers; embedding, layers and output of one width, embedding and output one matrix.

    Dropout of single elements where Zaremba et al. 2014 (arXiv:1409.2329, section 3) have it: on
    what goes from the embedding into the layers, from layer to layer and into the output, not on
    the state. Tied as in Press and Wolf 2017 (arXiv:1608.05859).
    """

    def __init__(self, vocabulary, width, dropout):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, width, 2, dropout=dropout)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self.dropout = nn.Dropout(dropout)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)

    def start(self, streams):
        zero = torch.zeros(2, streams, self.embedding.embedding_dim)
        return zero, zero

    def forward(self, inputs, targets, state, reduction="mean"):
        """(loss in nats, state behind the inputs); inputs, targets: T x streams ids, targets
        below 0 left out."""
        outputs, state = self.lstm(self.dropout(self.embedding(inputs)), state)
        logits = F.linear(self.dropout(outputs).flatten(0, 1), self.embedding.weight, self.bias)
        loss = F.cross_entropy(logits, targets.flatten(), ignore_index=-1, reduction=reduction)
        return loss, state


def evaluate(model, ids, first, streams=1, window=35):
    """Nats per token over all of ids, each predicted from all tokens before it, the first from
    `first`. With several streams, which are quicker, ids is cut into as many parts whose state
    starts at zero: a little above the exact loss of one stream."""
    training = model.training
    model.eval()
    rows = -(-len(ids) // streams)
    targets = F.pad(ids, (0, rows * streams - len(ids)), value=-1)
    inputs = torch.cat([torch.tensor([first]), targets[:-1].clamp(min=0)])
    inputs, targets = (x.view(streams, rows).t().contiguous() for x in (inputs, targets))
    total, state = 0.0, model.start(streams)
    with torch.inference_mode():
        for at in range(0, rows, window):
            loss, state = model(inputs[at:at + window], targets[at:at + window], state, "sum")
            total += loss.item()
    model.train(training)
    return total / len(ids)
