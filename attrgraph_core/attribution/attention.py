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


def attention(module: nn.MultiheadAttention, given: dict[str, Any], values: Tensor) -> Tensor:
    """`values` (samples, keys, features), as projected, averaged by the weights of their heads, with the derivative of
    both: (samples, queries, features)."""
    query, key = _queries_and_keys(module, given)
    added = _added(module, given, query)
    attended = functional.scaled_dot_product_attention(query, key, _by_head(module, values), added)
    return attended.transpose(1, 2).flatten(2)


def attention_weights(module: nn.MultiheadAttention, given: dict[str, Any]) -> Tensor:
    """Softmax of scaled products of queries and keys, (samples, heads, queries, keys), as the module computes it."""
    query, key = _queries_and_keys(module, given)
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    added = _added(module, given, query)
    return (scores if added is None else scores + added).softmax(dim=-1)


def attend(module: nn.MultiheadAttention, weights: Tensor, values: Tensor) -> Tensor:
    """`values` (samples, keys, features), as projected, averaged by weights that are given."""
    return (weights @ _by_head(module, values)).transpose(1, 2).flatten(2)


def _queries_and_keys(module: nn.MultiheadAttention, given: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Projected, each (samples, heads, queries or keys, features of a head)."""
    query, key, width = given["query"], given["key"], module.embed_dim
    bias = None if module.in_proj_bias is None else module.in_proj_bias.detach()[: 2 * width]
    if module._qkv_same_embed_dim and query is key:  # one product is quicker than two
        both = functional.linear(query, module.in_proj_weight.detach()[: 2 * width], bias)
        query, key = both.chunk(2, dim=-1)
        return _by_head(module, query), _by_head(module, key)
    of_query, of_key = _query_and_key_weights(module)
    biases = (None, None) if bias is None else bias.chunk(2)
    query, key = functional.linear(query, of_query, biases[0]), functional.linear(key, of_key, biases[1])
    return _by_head(module, query), _by_head(module, key)


def _query_and_key_weights(module: nn.MultiheadAttention) -> tuple[Tensor, Tensor]:
    if not module._qkv_same_embed_dim:
        return module.q_proj_weight.detach(), module.k_proj_weight.detach()
    query, key = module.in_proj_weight.detach()[: 2 * module.embed_dim].chunk(2)
    return query, key


def _by_head(module: nn.MultiheadAttention, values: Tensor) -> Tensor:
    """(samples, heads, positions, features of a head)"""
    return values.unflatten(-1, (module.num_heads, -1)).transpose(1, 2)


def _added(module: nn.MultiheadAttention, given: dict[str, Any], like: Tensor) -> Tensor | None:
    """What masks add to the scaled products, in a shape that broadcasts to them; `like` is of their type."""
    mask, padding = given.get("attn_mask"), given.get("key_padding_mask")
    added = None if mask is None else _as_added(mask, like)
    if added is not None and added.dim() == 3:
        added = added.unflatten(0, (-1, module.num_heads))
    if padding is None:
        return added
    of_keys = _as_added(padding, like)[:, None, None, :]
    return of_keys if added is None else added + of_keys


def _as_added(mask: Tensor, like: Tensor) -> Tensor:
    """True forbids; numbers are added."""
    if mask.dtype != torch.bool:
        return mask.to(like)
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, -torch.inf)


def stop_at_weights(
    operation: Any, arguments: Any, keywords: Any, stop: Callable[[Any], Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of tokens averaged by attention, with `stop` applied to all but what is averaged: to the weights,
    or to queries, keys and masks."""
    averaged = 2 if is_scaled_dot_product(operation) else 1
    return (
        tuple(part if place == averaged else stop(part) for place, part in enumerate(arguments)),
        {name: part if name in ("value", "mat2") else stop(part) for name, part in keywords.items()},
    )
