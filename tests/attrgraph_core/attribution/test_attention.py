"""Attention as passes compute it, held against `nn.MultiheadAttention` itself."""

import pytest
import torch
from torch import nn

from attrgraph_core.attribution.attention import attend, attention, attention_weights

SAMPLES, LENGTH, WIDTH, HEADS = 3, 5, 8, 2
FORBIDDEN = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
PADDING = torch.arange(LENGTH) >= torch.tensor([[5], [3], [1]])
MASKS = {
    "none": {},
    "bool": {"attn_mask": FORBIDDEN},
    "added": {"attn_mask": torch.linspace(-1, 1, LENGTH * LENGTH, dtype=torch.float64).reshape(LENGTH, LENGTH)},
    "a sample and head": {"attn_mask": FORBIDDEN.expand(SAMPLES * HEADS, -1, -1)},
    "padding": {"key_padding_mask": PADDING},
    "both": {"attn_mask": FORBIDDEN, "key_padding_mask": PADDING},
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("of_itself", [True, False], ids=["of itself", "of others"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_values_are_averaged_as_the_module_averages_them(mask, of_itself, bias):
    torch.manual_seed(0)
    module = nn.MultiheadAttention(WIDTH, HEADS, bias=bias, batch_first=True).double()
    query, key = torch.randn(2, SAMPLES, LENGTH, WIDTH).double()
    given = {"query": query, "key": query if of_itself else key, "value": key, **MASKS[mask]}
    expected, expected_weights = module(**given, average_attn_weights=False)

    weight, own_bias = module.in_proj_weight[2 * WIDTH :], module.in_proj_bias[2 * WIDTH :] if bias else None
    values = nn.functional.linear(key, weight, own_bias)
    weights = attention_weights(module, given)
    torch.testing.assert_close(weights, expected_weights)
    torch.testing.assert_close(module.out_proj(attend(module, weights, values)), expected)
    torch.testing.assert_close(module.out_proj(attention(module, given, values)), expected)
