"""The network of a Sluice config in PyTorch, operation by operation as Sluice has it.

embedding -> dropout -> projection where widths differ -> blocks of [dropout -> weight-normed causal
convolution -> GLU] -> (x + h) s -> dropout -> softmax or adaptive softmax. The convolution takes
one of two forms, because which is faster depends on machine, width and precision:
  conv1d  torch.nn.functional.conv1d over B x C x T
  linear  the k shifted inputs side by side, then one linear product over B x T x kC
"""

import torch
import torch.nn.functional as F
from torch import nn

FORMS = ("conv1d", "linear")


class CausalConv(nn.Module):
    """Convolution over this token and those before it; weight norm as torch.nn.utils.weight_norm
    has it, one length for each output channel."""

    def __init__(self, form, weight_norm, kernel, inputs, outputs, dilation, deviation):
        super().__init__()
        self.form, self.kernel, self.dilation = form, kernel, dilation
        shape = (outputs, inputs, kernel) if form == "conv1d" else (outputs, kernel * inputs)
        self.v = nn.Parameter(torch.randn(shape) * deviation)
        self.g = nn.Parameter(torch.norm_except_dim(self.v.data, 2, 0)) if weight_norm else None
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.folded = None

    def weight(self):
        if self.folded is not None:
            return self.folded
        return self.v if self.g is None else torch._weight_norm(self.v, self.g, 0)

    def forward(self, x):
        padding = (self.kernel - 1) * self.dilation
        weight, bias = self.weight(), self.bias
        if self.form == "conv1d":
            return F.conv1d(F.pad(x, (padding, 0)), weight, bias, dilation=self.dilation)
        if self.kernel > 1:
            time = x.shape[1]
            x = F.pad(x, (0, 0, padding, 0))
            x = torch.cat([x[:, begin:begin + time]
                           for begin in range(0, padding + 1, self.dilation)], 2)
        return F.linear(x, weight, bias)


class Block(nn.Module):
    def __init__(self, network, form, layers):
        super().__init__()
        self.rate, self.scale = network.dropout["layer"], network.residual_scale
        self.channels_at = 1 if form == "conv1d" else 2
        self.layers = nn.ModuleList(
            CausalConv(form, network.weight_norm, layer.kernel, layer.inputs, 2 * layer.channels,
                       layer.dilation,
                       (4 * (1 - self.rate) / (layer.kernel * layer.inputs)) ** 0.5)
            for layer in layers)
        inputs, outputs = layers[0].inputs, layers[-1].channels
        self.projection = None
        if inputs != outputs:
            self.projection = CausalConv(form, network.weight_norm, 1, inputs, outputs, 1,
                                         inputs ** -0.5)

    def forward(self, x):
        h = x
        for layer in self.layers:
            h = F.glu(layer(F.dropout(h, self.rate, self.training)), self.channels_at)
        if self.projection is not None:
            x = self.projection(x)
        return (x + h) * self.scale


class AdaptiveSoftmax(nn.AdaptiveLogSoftmaxWithLoss):
    """PyTorch's own with its loss written by cross_entropy: under autocast PyTorch's forward fails
    (it mixes types), and in f32 this is no slower."""

    def __init__(self, width, words, cutoffs, tail_div, tail_dropout):
        super().__init__(width, words, list(cutoffs), div_value=float(tail_div))
        self.tail_dropout = tail_dropout
        for parameter in self.parameters():
            nn.init.xavier_uniform_(parameter)

    def forward(self, input_, target_):
        head_target, loss = target_.clone(), 0
        for number, (projection, words) in enumerate(self.tail):
            begin, end = self.cutoffs[number], self.cutoffs[number + 1]
            rows = ((target_ >= begin) & (target_ < end)).nonzero().squeeze(1)
            if rows.numel() == 0:
                continue
            head_target[rows] = self.shortlist_size + number
            x = projection(input_.index_select(0, rows))
            x = F.dropout(x, self.tail_dropout, self.training)
            loss = loss + F.cross_entropy(words(x), target_[rows] - begin, reduction="sum")
        loss = loss + F.cross_entropy(self.head(input_), head_target, reduction="sum")
        return loss / target_.numel()


class Softmax(nn.Linear):
    def __init__(self, width, words, bias, dropout):
        super().__init__(width, words, bias)
        nn.init.normal_(self.weight, 0, ((1 - dropout) / width) ** 0.5)
        if bias:
            nn.init.zeros_(self.bias)

    def forward(self, input_, target_):  # pylint: disable=arguments-differ
        return F.cross_entropy(super().forward(input_), target_)


class GatedConvLm(nn.Module):
    def __init__(self, network, form):
        super().__init__()
        self.form, self.dropout = form, network.dropout
        self.embedding = nn.Embedding(network.vocabulary, network.embedding_dim)
        nn.init.normal_(self.embedding.weight, 0, 0.1)
        self.projection = None
        if network.input_projection:
            deviation = ((1 - self.dropout["embedding"]) / network.embedding_dim) ** 0.5
            self.projection = CausalConv(form, network.weight_norm, 1, network.embedding_dim,
                                         network.first_width, 1, deviation)
        self.blocks = nn.ModuleList(Block(network, form, layers) for layers in network.blocks)
        width = network.last_width
        if network.cutoffs:
            self.output = AdaptiveSoftmax(width, network.vocabulary, network.cutoffs,
                                          network.tail_div, self.dropout["tail"])
        else:
            self.output = Softmax(width, network.vocabulary, network.bias, self.dropout["output"])

    def forward(self, inputs, targets):
        """Mean nats per target of B x T ids."""
        x = F.dropout(self.embedding(inputs), self.dropout["embedding"], self.training)
        if self.form == "conv1d":
            x = x.transpose(1, 2).contiguous()
        if self.projection is not None:
            x = self.projection(x)
        for block in self.blocks:
            x = block(x)
        if self.form == "conv1d":
            x = x.transpose(1, 2)
        x = F.dropout(x.reshape(-1, x.shape[2]), self.dropout["output"], self.training)
        return self.output(x, targets.reshape(-1))

    def fold(self, dtype):
        """For evaluation: weight norm multiplied out, once, in the type of the products."""
        for module in self.modules():
            if isinstance(module, CausalConv):
                module.folded = module.weight().detach().to(dtype)
                module.bias.data = module.bias.data.to(dtype)
            elif isinstance(module, nn.Linear):
                module.to(dtype)
