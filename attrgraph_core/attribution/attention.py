"""Attention with its weights at hand, so that a method can hold them constant."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from attrgraph_core.attribution.operations import is_scaled_dot_product


def attention_arguments(arguments: Any, keywords: Any) -> dict[str, Any]:
    """The arguments of `nn.MultiheadAttention` by name."""
    names = (
        "query",
        "key",
        "value",
        "key_padding_mask",
        "need_weights",
        "attn_mask",
        "average_attn_weights",
        "is_causal",
    )
    return dict(zip(names, arguments, strict=False)) | keywords


def attention_weights(module: nn.MultiheadAttention, given: dict[str, Any]) -> Tensor:
    """Softmax of scaled products of queries and keys, (samples, heads, queries, keys), as the module computes it."""
    query, key = given["query"], given["key"]
    width, count = module.embed_dim, module.num_heads
    if module._qkv_same_embed_dim:
        query_weight, key_weight = module.in_proj_weight[:width], module.in_proj_weight[width : 2 * width]
    else:
        query_weight, key_weight = module.q_proj_weight, module.k_proj_weight
    bias = module.in_proj_bias
    query = functional.linear(query, query_weight.detach(), None if bias is None else bias[:width].detach())
    key = functional.linear(key, key_weight.detach(), None if bias is None else bias[width : 2 * width].detach())
    query, key = (part.unflatten(-1, (count, -1)).transpose(1, 2) for part in (query, key))
    scores = query @ key.transpose(-1, -2) / (width // count) ** 0.5
    mask = given.get("attn_mask")
    if mask is not None:
        scores = scores + _as_added(mask, scores)
    padding = given.get("key_padding_mask")
    if padding is not None:
        scores = scores + _as_added(padding, scores)[:, None, None, :]
    return scores.softmax(dim=-1)


def _as_added(mask: Tensor, scores: Tensor) -> Tensor:
    """True forbids; numbers are added."""
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=scores.dtype).masked_fill(mask, -torch.inf)
    return mask.unflatten(0, scores.shape[:2]) if mask.dim() == 3 else mask


def attend(module: nn.MultiheadAttention, weights: Tensor, values: Tensor) -> Tensor:
    values = values.unflatten(-1, (module.num_heads, -1)).transpose(1, 2)
    return (weights @ values).transpose(1, 2).flatten(2)


def stop_at_weights(
    operation: Any, arguments: Any, keywords: Any, stop: Callable[[Any], Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of tokens averaged by attention, with `stop` applied to the weights, or to queries and keys."""
    count = 2 if is_scaled_dot_product(operation) else 1
    named = {name: stop(part) if name in ("query", "key") else part for name, part in keywords.items()}
    return tuple(stop(part) if place < count else part for place, part in enumerate(arguments)), named
