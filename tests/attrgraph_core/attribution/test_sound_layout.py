"""Graphs of operations around layers: right for every sample, held against autograd on the network itself, or refused.

The truth of an edge is the weight times its gradient, summed over what a neuron's values meet.
"""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from attrgraph_core import AttrGraphError, attribute
from attrgraph_core.attribution.linter import lint
from attrgraph_core.attribution.methods import EDGE_METHODS

EXACT = ("deeplift", "lrp_epsilon")


def edges_of(graph, source: str, target: str) -> Tensor:
    """(targets, sources)"""
    edges = graph.edges[(graph.edges.source_layer == source) & (graph.edges.target_layer == target)]
    assert not edges.duplicated(["source_index", "target_index"]).any()
    table = edges.pivot_table(index="target_index", columns="source_index", values="weight")
    return torch.tensor(table.to_numpy().tolist(), dtype=torch.float64)


def weight_times_gradient(model: nn.Module, layer: nn.Module, inputs: Tensor, label: int = 1) -> Tensor:
    """Of each sample's score, the mean over samples, (targets, columns): taps summed."""
    (gradient,) = torch.autograd.grad(model(inputs)[:, label].mean(), layer.weight)
    product = (gradient * layer.weight).detach()
    return product.flatten(2).sum(2) if product.dim() > 2 else product


def check(model: nn.Module, inputs: Tensor, source: str, target: str, columns: int = 1) -> None:
    """Edges by the gradient are autograd's, and shares of the exact methods add up; `columns` stand for a neuron."""
    layer = model.get_submodule(target)
    expected = weight_times_gradient(model, layer, inputs)
    expected = expected.unflatten(1, (columns, -1)).sum(1)
    for order in (inputs, inputs.flip(0)):
        graph = attribute(model, order, 1, method="gradient_times_activation")
        assert torch.allclose(edges_of(graph, source, target), expected, atol=1e-12)
        for method in EXACT:
            assert attribute(model, order, 1, method=method).completeness_delta < 1e-10, method


def refused(model: nn.Module, inputs: Tensor, message: str, methods=EDGE_METHODS) -> None:
    for method in methods:
        with pytest.raises(AttrGraphError, match=message):
            attribute(model, inputs, 1, method=method, baseline=inputs[:2])
        assert lint(model, inputs, method)[0].severity == "refused"


# Between two layers of features


class Between(nn.Module):
    def __init__(self, operation) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.operation = operation
        self.first, self.other, self.last = nn.Linear(5, 6), nn.Linear(5, 6), nn.Linear(6, 3)
        self.double()

    def forward(self, x):
        return self.last(self.operation(self.first(x), self.other(x)))


FEATURES = torch.randn(6, 5, generator=torch.Generator().manual_seed(2)).double()
MASK = torch.tensor([True, False, True, True, False, False])


@pytest.mark.parametrize("operation", [
    lambda x, y: x.clamp_min(0), lambda x, y: torch.clamp_max(x, 0.5), lambda x, y: torch.maximum(x, torch.zeros(6)),
    lambda x, y: functional.relu(input=x), lambda x, y: torch.mul(input=x, other=torch.tensor(2.0)),
    lambda x, y: x + x, lambda x, y: torch.add(x, x, alpha=0.5), lambda x, y: x - 0.5 * x.clone(),
    lambda x, y: x.T.mT,
])  # fmt: skip
def test_operations_of_one_tensor_keep_its_neurons(operation):
    check(Between(operation), FEATURES, "first", "last")


def test_a_tensor_times_itself_is_a_square():
    model = Between(lambda x, y: x * x)
    assert "product" not in set(attribute(model, FEATURES, 1).neurons.layer)
    check(model, FEATURES, "first", "last")


def test_a_gated_unit_is_a_product():
    torch.manual_seed(5)

    class Network(nn.Sequential):
        def forward(self, x):
            return self[1](functional.glu(self[0](x)))

    model = Network(nn.Linear(5, 12), nn.Linear(6, 3)).double()
    check(model, FEATURES, "product", "1")
    first, gate = model[0](FEATURES).detach().chunk(2, dim=1)
    by_hand = (first * gate.sigmoid() * model[1].weight[1]).mean(0)
    products = attribute(model, FEATURES, 1, method="gradient_times_activation").neurons
    assert products[products.layer == "product"].attribution.tolist() == pytest.approx(by_hand.tolist(), abs=1e-12)


def test_operands_may_be_named():
    named = attribute(Between(lambda x, y: torch.add(input=torch.relu(x), other=y)), FEATURES, 1)
    placed = attribute(Between(lambda x, y: torch.relu(x) + y), FEATURES, 1)
    assert named.edges.weight.tolist() == placed.edges.weight.tolist()


def test_a_mask_that_no_input_reaches_chooses():
    check(Between(lambda x, y: torch.where(MASK, x, torch.zeros(6).double()) + x.mul(0)), FEATURES, "first", "last")
    model = Between(lambda x, y: torch.where(MASK, x, y))
    expected = weight_times_gradient(model, model.last, FEATURES)
    graph = attribute(model, FEATURES, 1, method="gradient_times_activation")
    assert torch.allclose(edges_of(graph, "first", "last"), expected[:, MASK], atol=1e-12)
    assert torch.allclose(edges_of(graph, "other", "last"), expected[:, ~MASK], atol=1e-12)
    assert list(graph.edges[graph.edges.source_layer == "other"].source_index.unique()) == [1, 4, 5]


@pytest.mark.parametrize("fill", [lambda x: x.masked_fill(MASK, 2.0), lambda x: torch.where(MASK, 2.0, x)])
def test_a_filled_constant_has_no_edge_and_its_share_is_kept(fill):
    model = Between(lambda x, y: fill(x))
    for method in EXACT:
        graph = attribute(model, FEATURES, 1, method=method)
        assert graph.completeness_delta < 1e-10
        assert list(graph.edges[graph.edges.target_layer == "last"].source_index.unique()) == [1, 4, 5]
    graph = attribute(model, FEATURES, 1, method="gradient_times_activation")
    assert graph.completeness_delta < 1e-10


@pytest.mark.parametrize(("operation", "message"), [
    (lambda x, y: torch.pow(torch.sigmoid(x), torch.sigmoid(y)), "pow at 'pow_1' of several tensors of neurons"),
    (lambda x, y: torch.clamp(x, max=y), "clamp at 'clamp' of several tensors of neurons"),
    (lambda x, y: torch.maximum(x, y), "maximum at 'maximum' of several tensors of neurons"),
    (lambda x, y: 2.0**x, "pow at 'pow_1'"),
    (lambda x, y: x * (x > 0), "gt at 'gt', a mask made of neurons, for which no rule is known"),
    (lambda x, y: x.masked_fill(x < 0, 0.0), "lt at 'lt', a mask made of neurons"),
    (lambda x, y: torch.where(x > 0, x, torch.zeros_like(x)), "gt at 'gt', a mask made of neurons"),
    (lambda x, y: torch.relu(x) + torch.fft.fft(x).real, "fft_fft at 'fft_fft', for which no rule is known"),
    (lambda x, y: torch.relu(x) + x.sort(dim=1).values, "sort at 'sort', for which no rule is known"),
    (lambda x, y: torch.relu(x) + x.topk(6, dim=1).values, "topk at 'topk', for which no rule is known"),
    (lambda x, y: torch.relu(x) + x.data, "\\.data at 'getattr_1', for which no rule is known"),
    (lambda x, y: torch.relu(x) + x.detach(), "detach at 'detach', for which no rule is known"),
    (lambda x, y: torch.relu(x) + x.argmax(1, keepdim=True), "argmax at 'argmax', for which no rule is known"),
    (lambda x, y: torch.relu(x) + x.long(), "long at 'long', for which no rule is known"),
    (lambda x, y: torch.relu(x) + x.to(torch.int64), "to at 'to', which rounds"),
    (lambda x, y: y[:, x.argsort(1)[0]], "argsort at 'argsort', for which no rule is known"),
    (lambda x, y: x / x.max().item(), "item at 'item' makes a number of a whole batch"),
    (lambda x, y: x * x.roll(1, 1).roll(-1, 1), "mul at 'mul', which joins a neuron with itself"),
    (lambda x, y: (torch.softmax(x, 1) * y), "softmax at 'softmax'; average by weights @ values"),
    (lambda x, y: x.amax(1, keepdim=True).expand(-1, 6), "amax at 'amax'"),
])  # fmt: skip
def test_what_has_no_rule_is_refused_with_the_operation_to_blame(operation, message):
    refused(Between(operation), FEATURES, message)


class Fused(nn.Module):
    def __init__(self, *arguments) -> None:
        super().__init__()
        self.arguments = arguments
        self.embed, self.last = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x):
        x = self.embed(x)
        return self.last(functional.scaled_dot_product_attention(x, x, x, *self.arguments).mean(1))


def test_dropout_of_attention_is_seen_wherever_it_is_given():
    refused(Fused(None, 0.3), torch.randn(3, 2, 4), "drops weights in evaluation, too; give it dropout_p=0 there")
    attribute(Fused(None, 0.0), torch.randn(3, 2, 4), 1)


# The largest along a dimension


class Pooled(nn.Module):
    def __init__(self, largest) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.largest = largest
        self.first, self.last = nn.Conv1d(2, 4, 3, padding=1), nn.Linear(8, 3)
        self.double()

    def forward(self, x):
        x = torch.relu(self.first(x))
        return self.last(torch.cat([x.mean(2), self.largest(x)], dim=1))


@pytest.mark.parametrize("largest", [
    lambda x: x.max(2).values, lambda x: x.max(dim=-1)[0], lambda x: torch.max(x, 2)[0], lambda x: x.amax(2),
    lambda x: torch.amax(x, dim=(2,)), lambda x: torch.max(x, dim=2, keepdim=True)[0].squeeze(2),
    lambda x: functional.adaptive_max_pool1d(x, 1).squeeze(2),
])  # fmt: skip
def test_the_largest_along_a_dimension_is_a_max_pooling(largest):
    inputs = torch.randn(6, 2, 7, generator=torch.Generator().manual_seed(3)).double()
    check(Pooled(largest), inputs, "first", "last", columns=2)
    expected = attribute(Pooled(lambda x: functional.adaptive_max_pool1d(x, 1).squeeze(2)), inputs, 1)
    found = attribute(Pooled(largest), inputs, 1)
    assert found.edges.weight.tolist() == pytest.approx(expected.edges.weight.tolist(), abs=1e-12)


def test_the_largest_of_several_dimensions():
    torch.manual_seed(0)

    class Network(nn.Sequential):
        def forward(self, x):
            return self[1](torch.relu(self[0](x)).amax((2, 3)))

    check(Network(nn.Conv2d(1, 3, 3), nn.Linear(3, 3)).double(), torch.randn(4, 1, 5, 5).double(), "0", "1")


# Tokens, some of which are padding

TOKENS = torch.tensor([[3, 7, 0, 0, 0], [4, 9, 2, 5, 0], [1, 2, 3, 4, 5], [6, 6, 8, 0, 0]])


class Text(nn.Module):
    """Embedding, a layer a token, `pool` of its outputs and the tokens, a layer."""

    def __init__(self, pool, reader: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.pool = pool
        self.embedding, self.first, self.last = nn.Embedding(10, 8), nn.Linear(8, 6), nn.Linear(6, 3)
        self.double()

    def forward(self, tokens):
        return self.last(self.pool(torch.relu(self.first(self.embedding(tokens))), tokens))


def masked_mean(hidden, tokens):
    mask = (tokens != 0).unsqueeze(-1)
    return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)


def masked_mean_by_floats(hidden, tokens):
    mask = tokens.ne(0).unsqueeze(-1).to(hidden)
    return (hidden * mask.expand_as(hidden)).sum(1) / mask.sum(1)


def filled_mean(hidden, tokens):
    return hidden.masked_fill((tokens == 0).unsqueeze(-1), 0.0).mean(1)


def chosen_mean(hidden, tokens):
    return torch.where((tokens == 0)[:, :, None], 0.0, hidden).mean(1)


def masked_maximum(hidden, tokens):
    return hidden.masked_fill((tokens == 0).unsqueeze(-1), -1e9).max(1).values


def masked_maximum_below_everything(hidden, tokens):
    return torch.where((tokens != 0).unsqueeze(-1), hidden, -math.inf).amax(dim=1)


@pytest.mark.parametrize("pool", [
    masked_mean, masked_mean_by_floats, filled_mean, chosen_mean, masked_maximum, masked_maximum_below_everything,
])  # fmt: skip
def test_padding_is_held_and_every_sample_has_its_own(pool):
    model = Text(pool)
    check(model, TOKENS, "first", "last")
    assert attribute(model, TOKENS, 1, method="conductance").completeness_delta < 0.05
    (mask, _) = lint(model, TOKENS)
    assert (mask.severity, mask.what[:7]) == ("note", "is held")
    refused(model, TOKENS, "is a mask made of tokens, and other ones for the baseline", ["layer_integrated_gradients"])


@pytest.mark.parametrize("method", ["kernel_shap", "feature_ablation"])
def test_a_baseline_that_is_padding_alone_is_named_where_masks_are_its_own(method):
    with pytest.raises(AttrGraphError, match=r"scores of the baseline are not finite \(is it padding alone\?\); name"):
        attribute(Text(masked_mean_by_floats), TOKENS, 1, method=method)
    attribute(Text(masked_mean_by_floats), TOKENS, 1, method=method, baseline=torch.full((5,), 9))


class Filled(Text):
    """A layer that reads what padding filled with zeros."""

    def __init__(self, reader: nn.Module) -> None:
        super().__init__(None)
        torch.manual_seed(3)
        self.reader = reader.double()

    def forward(self, tokens):
        hidden = torch.relu(self.first(self.embedding(tokens))).masked_fill((tokens == 0).unsqueeze(-1), 0.0)
        if isinstance(self.reader, nn.Conv1d):
            return self.last(torch.relu(self.reader(hidden.transpose(1, 2))).mean(2))
        return self.last(torch.relu(self.reader(hidden)).mean(1))


@pytest.mark.parametrize("reader", [nn.Linear(6, 6), nn.Conv1d(6, 6, 3, padding=1)], ids=["linear", "convolution"])
def test_a_layer_reads_every_sample_by_its_own_mask(reader):
    model = Filled(reader)
    check(model, TOKENS, "first", "reader")
    one = attribute(model, TOKENS, 1, method="gradient_times_activation").edges.weight
    other = attribute(model, TOKENS.flip(0), 1, method="gradient_times_activation").edges.weight
    assert one.tolist() == pytest.approx(other.tolist(), abs=1e-12)


def mean_by_matrix(hidden, tokens):
    mask = (tokens != 0).to(hidden)
    return ((mask / mask.sum(1, keepdim=True)).unsqueeze(1) @ hidden).squeeze(1)


def masked_attention(hidden, tokens):
    scores = (hidden @ hidden.transpose(1, 2)).masked_fill((tokens == 0)[:, None], -math.inf)
    return (scores.softmax(-1) @ hidden).mean(1)


def mask_beside(hidden, tokens):
    """Half the features tell padding, which is no neuron."""
    mask = (tokens != 0).to(hidden).unsqueeze(-1).expand(-1, -1, 3)
    return torch.cat([hidden[..., :3], mask], dim=-1).mean(1)


@pytest.mark.parametrize("pool", [mean_by_matrix, masked_attention, mask_beside])
def test_masks_are_weights_and_features_too(pool):
    for method in (*EXACT, "deepshap"):
        assert attribute(Text(pool), TOKENS, 1, method=method, baseline=TOKENS[1:3]).completeness_delta < 1e-10


class CountedPositions(Text):
    """Positions that count what is no padding, of an embedding that reads a mask: context, without neurons."""

    def __init__(self) -> None:
        super().__init__(masked_mean)
        self.positions = nn.Embedding(6, 8).double()

    def forward(self, tokens):
        mask = (tokens != 0).int()
        hidden = self.embedding(tokens) + self.positions((mask.cumsum(1) * mask).long())
        return self.last(masked_mean(torch.relu(self.first(hidden)), tokens))


def test_positions_counted_by_a_mask_have_no_neurons():
    assert list(attribute(CountedPositions(), TOKENS, 1).neurons.layer.unique()) == [
        "input", "embedding", "first", "last",
    ]  # fmt: skip
    check(CountedPositions(), TOKENS, "first", "last")


def test_held_padding_is_that_of_the_input_in_the_baseline_too():
    """What is explained is the score less that of the baseline under the input's mask, worked out by hand."""
    model = Text(masked_mean)
    hidden = [torch.relu(model.first(model.embedding(tokens))) for tokens in (TOKENS, torch.zeros_like(TOKENS))]
    mask = (TOKENS != 0).unsqueeze(-1)
    pooled = [(own * mask).sum(1) / mask.sum(1) for own in hidden]
    expected = (model.last(pooled[0]) - model.last(pooled[1]))[:, 1].mean().item()
    for method in ("deeplift", "conductance"):
        graph = attribute(model, TOKENS, 1, method=method)
        assert graph.neurons[graph.neurons.kind == "output"].attribution.sum() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("pool", "message"), [
    (lambda hidden, tokens: hidden.masked_fill((tokens == 0).unsqueeze(-1), 1.0).mean(1), "fills with something else"),
    (lambda hidden, tokens: hidden[torch.arange(2), (tokens != 0).sum(1) - 1], "picks by what the input is"),
    (lambda hidden, tokens: hidden.mean(1) * (tokens % 3)[:, :1], "remainder|mod"),
    (lambda hidden, tokens: hidden.mean(1) / (tokens != 0).sum(), "makes a mask whose first dimension is not that of"),
    (lambda hidden, tokens: hidden.mean(1) + torch.eye(6).double()[tokens[:, 0] - 1], "getitem"),
])  # fmt: skip
def test_what_tokens_decide_otherwise_is_refused(pool, message):
    refused(Text(pool), TOKENS, message, EXACT)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.positions = nn.Embedding(10, 8), nn.Embedding(5, 8)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)
        self.last = nn.Linear(8, 3)
        self.double()

    def forward(self, tokens):
        hidden = self.embedding(tokens) + self.positions(torch.arange(tokens.shape[1]))
        return self.last(self.encoder(hidden, src_key_padding_mask=tokens == 0)[:, 0])


def test_an_encoder_with_padding():
    for method in EXACT:
        assert attribute(Encoder(), TOKENS, 1, method=method).completeness_delta < 1e-10


# Buffers cut to the input


class Positions(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("table", torch.randn(1, 20, width))

    def forward(self, x):
        return x + self.table[:, : x.size(1)].to(x.device)


class PositionIds(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, width)
        self.register_buffer("ids", torch.arange(20).unsqueeze(0))

    def forward(self, x):
        return x + self.embedding(self.ids[:, : x.shape[1]].expand(x.size(0), -1))


class Causal(nn.Module):
    """Attention as in nanoGPT."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.register_buffer("bias", torch.tril(torch.ones(20, 20)).view(1, 20, 20))

    def forward(self, x):
        _, length, width = x.size()
        scores = self.query(x) @ self.key(x).transpose(-2, -1) / math.sqrt(width)
        scores = scores.masked_fill(self.bias[:, :length, :length] == 0, -math.inf)
        return x + torch.softmax(scores, dim=-1) @ self.value(x)


@pytest.mark.parametrize("module", [Positions, PositionIds, Causal])
def test_buffers_may_be_cut_to_the_input(module):
    torch.manual_seed(4)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.module = nn.Embedding(20, 8), module(8)
            self.hidden, self.last = nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, tokens):
            assert tokens.shape[1] <= 20
            return self.last(torch.relu(self.hidden(self.module(self.embedding(tokens)))).mean(1))

    check(Network().double(), TOKENS, "hidden", "last")


class BranchesOnABuffer(Between):
    def __init__(self) -> None:
        super().__init__(None)
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, x):
        x = torch.relu(self.first(x))
        return self.last(x * 2 if self.scale > 1 else x)


def test_a_forward_may_branch_on_a_buffer():
    check(BranchesOnABuffer().double(), FEATURES, "first", "last")


def test_more_than_the_input_for_a_layer_and_weights_that_are_read_are_refused():
    class Transposed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.ConvTranspose2d(1, 2, 3, stride=2, padding=1), nn.Linear(2, 3)

        def forward(self, x):
            return self.last(self.first(x, output_size=(8, 8)).mean((2, 3)))

    class ReadsWeights(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.last = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 3)

        def forward(self, x):
            attended, weights = self.attention(x, x, x)
            return self.last((weights @ attended).mean(1))

    refused(Transposed(), torch.randn(2, 1, 4, 4), "'first' is given more than its input")
    refused(ReadsWeights(), torch.randn(2, 3, 4), "the attention weights that .* returns are read")
