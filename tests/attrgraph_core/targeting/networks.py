"""Networks and layers that the tests of targeted training draw from."""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional


class Residual(nn.Module):
    """Convolutions with groups, stride and dilation, a shortcut, a concatenation, normalisation, and a linear head."""

    def __init__(self, groups: int, stride: int, dilation: int, dimensions: int) -> None:
        super().__init__()
        convolution, norm = ((nn.Conv1d, nn.BatchNorm1d), (nn.Conv2d, nn.BatchNorm2d))[dimensions - 1]
        self.stem = convolution(2, 6, 3, padding=1)
        self.norm = norm(6)
        self.inner = convolution(6, 6, 3, padding=dilation, dilation=dilation, groups=groups, bias=False)
        self.side = convolution(6, 4, 1, stride=stride)
        self.down = convolution(6, 6, 3, padding="same" if stride == 1 else 1, stride=stride, groups=groups)
        self.head = nn.Linear(10, 5)
        self.output = nn.Linear(5, 3)
        self.dimensions = dimensions

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.stem(x)))
        x = functional.gelu(x + self.inner(x))
        x = torch.cat([self.down(x), torch.tanh(self.side(x))], dim=1)
        return self.output(functional.silu(self.head(x.mean(dim=tuple(range(2, 2 + self.dimensions))))))


class Words(nn.Module):
    """Embedded words through attention with a shortcut, and a normalised sum."""

    def __init__(self, heads: int, batch_first: bool, need_weights: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 8, padding_idx=0)
        self.attention = nn.MultiheadAttention(8, heads, batch_first=batch_first)
        self.norm = nn.LayerNorm(8)
        self.output = nn.Linear(8, 3)
        self.need_weights, self.batch_first = need_weights, batch_first

    def forward(self, words: Tensor) -> Tensor:
        x = self.embed(words)
        x = x if self.batch_first else x.transpose(0, 1)
        padding = (words == 0) & (words.cumsum(dim=1) > 0)
        attended, _ = self.attention(x, x, x, key_padding_mask=padding, need_weights=self.need_weights)
        return self.output(self.norm(x + attended).mean(dim=1 if self.batch_first else 0))


def mlp(widths: list[int], activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers[:-1])


def neuron_counts(network: nn.Module) -> dict[str, int]:
    """Every layer with neurons that can be trained, by name."""
    counts: dict[str, int] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            counts[name] = module.num_heads
        elif isinstance(module, nn.Embedding):
            counts[name] = module.embedding_dim
        elif isinstance(getattr(module, "weight", None), nn.Parameter):
            counts[name] = len(module.weight)
    return counts


def rows_of(network: nn.Module, parameter_name: str, neurons: dict[str, list[int]]) -> tuple[int, list[int]]:
    """Dimension and indices of a parameter that belong to `neurons`: written from the definition of a neuron."""
    layer_name, _, _ = parameter_name.rpartition(".")
    layer, chosen = network.get_submodule(layer_name), neurons.get(layer_name, [])
    if isinstance(layer, nn.Embedding):
        return 1, list(chosen)
    if isinstance(layer, nn.MultiheadAttention):
        size = layer.head_dim
        return 0, [
            part * layer.embed_dim + head * size + row for part in range(3) for head in chosen for row in range(size)
        ]
    return 0, list(chosen)
