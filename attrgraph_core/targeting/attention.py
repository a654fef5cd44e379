"""`nn.MultiheadAttention` while some of its heads, or of its outputs, train.

The module reads its projections' weights without calling a layer, so its forward is written out here over layers that
know their active rows. A head's neuron is its rows of the query, key and value projections; its columns of the output
projection belong to the outputs, which are neurons of `<name>.out_proj`.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.layer_kinds import LinearLayer, TargetedLayer


class _Projection(LinearLayer):
    """The packed projection of queries, keys and values, seen as a linear layer whose rows go by heads."""

    def __init__(self, attention: "AttentionLayer") -> None:
        heads, size = attention.module.num_heads, attention.module.head_dim
        width = heads * size
        self.is_whole = len(attention.order) == heads and len(attention.sizes) == 1
        rows = (
            range(3 * width)
            if self.is_whole
            else [
                part * width + head * size + row for head in attention.order for part in range(3) for row in range(size)
            ]
        )
        view = nn.Module()
        view.weight, view.bias = attention.module.in_proj_weight, attention.module.in_proj_bias
        super().__init__(attention.name, view, rows, [own * 3 * size for own in attention.sizes])
        for active in self.active.values():
            active.parts = 3 if self.is_whole else 1


class AttentionLayer(TargetedLayer):
    """An attention module; `order` are its active heads, none where only its output projection has active neurons."""

    module: nn.MultiheadAttention

    def __init__(self, name: str, module: nn.Module, order: Sequence[int], sizes: Sequence[int]) -> None:
        super().__init__(name, module, order, sizes)
        _check_plain(name, self.module)
        self.projection = _Projection(self)
        self.active = {f"in_proj_{kind}": active for kind, active in self.projection.active.items()}

    def read_again(self) -> None:
        self.projection.read_again()

    @property
    def neuron_count(self) -> int:
        return self.module.num_heads

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None,
        need_weights: bool = True, attn_mask: Tensor | None = None, average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """As `nn.MultiheadAttention.forward`, of batches."""
        module = self.module
        if query.dim() != 3:
            raise AttrGraphError(
                f"attention {self.name!r} got no batch: give it three dimensions while its heads train"
            )
        projected = self._project(query, key, value)
        if not module.batch_first:
            projected = [part.transpose(0, 1) for part in projected]
        queries, keys, values = (
            part.unflatten(-1, (module.num_heads, module.head_dim)).transpose(1, 2) for part in projected
        )
        mask = _mask(attn_mask, key_padding_mask, queries, keys)
        dropout = module.dropout if module.training else 0.0
        weights = None
        if need_weights:
            scores = queries @ keys.transpose(-2, -1) / math.sqrt(module.head_dim)
            weights = functional.dropout((scores if mask is None else scores + mask).softmax(dim=-1), dropout)
            context = weights @ values
            weights = weights.mean(dim=1) if average_attn_weights else weights
        else:
            causal = is_causal and mask is None
            context = functional.scaled_dot_product_attention(queries, keys, values, mask, dropout, causal)
        output = context.transpose(1, 2).flatten(-2)
        result: Tensor = module.out_proj(output if module.batch_first else output.transpose(0, 1))
        return result, weights

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        width = self.module.embed_dim
        if query is key and key is value:
            return list(self.projection.rows(query).split(width, dim=-1))
        # Rare enough to project all three with the packed weight and take each one's part.
        return [
            self.projection.rows(part).narrow(-1, place * width, width)
            for place, part in enumerate((query, key, value))
        ]


def _mask(attention_mask: Tensor | None, padding_mask: Tensor | None, queries: Tensor, keys: Tensor) -> Tensor | None:
    """Both masks as one to add to the scores, or None."""
    mask = None
    if attention_mask is not None:
        mask = _additive(attention_mask, queries)
        if mask.dim() == 3:  # (batch * heads, ...)
            mask = mask.unflatten(0, queries.shape[:2])
    if padding_mask is not None:
        padding = _additive(padding_mask, queries)[:, None, None, :]
        mask = padding if mask is None else mask + padding
    return mask


def _additive(mask: Tensor, like: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros(mask.shape, dtype=like.dtype, device=mask.device).masked_fill_(mask, float("-inf"))


def _check_plain(name: str, module: nn.MultiheadAttention) -> None:
    unusual = {
        "keys or values of another width (kdim, vdim)": not module._qkv_same_embed_dim,
        "a bias of keys and values (add_bias_kv)": module.bias_k is not None,
        "an empty key (add_zero_attn)": module.add_zero_attn,
    }
    for what, is_there in unusual.items():
        if is_there:
            raise AttrGraphError(f"attention {name!r} has {what}; its heads cannot be trained apart")
