"""Networks of every structure that a graph can be made of, small, in float64, with random weights."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

SAMPLES = 6
CLASSES = 3


class TextEncoder(nn.Module):
    """Tokens, positions, two transformer layers, the mean over tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.positions = nn.Parameter(torch.randn(1, 5, 8))
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 12, batch_first=True), 2)
        self.output = nn.Linear(8, CLASSES)

    def forward(self, tokens):
        return self.output(self.encoder(self.embedding(tokens) + self.positions).mean(dim=1))


class TextConvolution(nn.Module):
    """Tokens, two 1-d convolutions side by side, their maxima and means concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.narrow, self.wide = nn.Conv1d(8, 4, 3, padding=1), nn.Conv1d(8, 4, 5, padding=2, groups=2)
        self.output = nn.Linear(8, CLASSES)

    def forward(self, tokens):
        embedded = self.embedding(tokens).transpose(1, 2)
        narrow = functional.adaptive_max_pool1d(functional.relu(self.narrow(embedded)), 1).squeeze(-1)
        return self.output(torch.cat([narrow, functional.gelu(self.wide(embedded)).mean(-1)], 1))


class UNet(nn.Module):
    """A way down and up, joined by concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.bottom = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1)
        self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)
        self.joined = nn.Conv2d(6, 3, 3, padding="same", padding_mode="circular")
        self.output = nn.Linear(3, CLASSES)

    def forward(self, x):
        down = functional.relu(self.down(x))
        up = self.up(functional.silu(self.bottom(functional.max_pool2d(down, 2))))
        return self.output(functional.elu(self.joined(torch.cat([down, up], dim=1))).mean(dim=(2, 3)))


class Residual(nn.Module):
    """Convolutions with batch and group normalisation, a skip connection, works in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.second, self.group_norm = nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.GroupNorm(2, 4)
        self.output = nn.Linear(4 * 4, CLASSES)

    def forward(self, x):
        x = functional.relu(self.norm(self.first(x)), inplace=True)
        y = self.group_norm(self.second(x))
        y += x
        return self.output(functional.avg_pool2d(functional.leaky_relu(y, 0.2), 2).flatten(1))


class OwnAttention(nn.Module):
    """Attention written by hand behind a class token, a gate on its output."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Linear(4, 8), nn.LayerNorm(8)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.qkv, self.project, self.gate = nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, 8)
        self.output = nn.Linear(8, CLASSES)

    def forward(self, x):
        x = torch.cat([self.token.expand(x.size(0), -1, -1), self.embed(x)], dim=1)
        samples, tokens, width = x.shape
        query, key, value = self.qkv(self.norm(x)).reshape(samples, tokens, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (query @ key.transpose(-2, -1) * 0.5).softmax(dim=-1)
        x = x + self.project((weights @ value).transpose(1, 2).reshape(samples, tokens, width))
        x = x * torch.sigmoid(self.gate(x))
        return self.output(x[:, 0])


class FusedAttention(nn.Module):
    """`scaled_dot_product_attention` with heads, RMS normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Linear(4, 6), nn.RMSNorm(6)
        self.query, self.key, self.value = (nn.Linear(6, 6) for _ in range(3))
        self.output = nn.Linear(6, CLASSES)

    def forward(self, x):
        x = self.embed(x)
        normed = self.norm(x)
        heads = [layer(normed).unflatten(-1, (3, 2)).transpose(1, 2) for layer in (self.query, self.key, self.value)]
        mixed = functional.scaled_dot_product_attention(*heads, is_causal=True)
        return self.output((x + mixed.transpose(1, 2).flatten(2)).mean(1))


def _volume() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(2, 3, 3, stride=2, padding=1), nn.BatchNorm3d(3), nn.Softplus(), nn.AvgPool3d(2), nn.Flatten(),
        nn.Linear(3, CLASSES),
    )  # fmt: skip


def _tanh() -> nn.Module:
    return nn.Sequential(
        nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 6), nn.LayerNorm(6), nn.Sigmoid(), nn.Linear(6, CLASSES)
    )


def _relu() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6, bias=False), nn.ReLU(), nn.Linear(6, CLASSES))


_TOKENS = "tokens"
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...] | str]] = {
    "MLP": (_relu, (5,)),
    "smooth MLP": (_tanh, (5,)),
    "residual CNN": (Residual, (2, 4, 4)),
    "U-Net": (UNet, (1, 4, 4)),
    "3-d CNN": (_volume, (2, 4, 4, 4)),
    "text CNN": (TextConvolution, _TOKENS),
    "text encoder": (TextEncoder, _TOKENS),
    "own attention": (OwnAttention, (3, 4)),
    "fused attention": (FusedAttention, (3, 4)),
}


def make_network(name: str, seed: int = 0) -> tuple[nn.Module, Tensor, Tensor]:
    """A network in evaluation mode with running statistics of its own, inputs, and labels."""
    make, shape = NETWORKS[name]
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = make().double()
    if shape == _TOKENS:
        inputs = torch.randint(0, 20, (SAMPLES, 5), generator=generator)
    else:
        inputs = torch.randn(SAMPLES, *shape, generator=generator, dtype=torch.float64)  # type: ignore[misc]
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            module.running_mean += torch.randn(module.num_features, generator=generator, dtype=torch.float64)
            module.running_var *= 2.0
    return network.eval(), inputs, torch.arange(SAMPLES) % CLASSES
