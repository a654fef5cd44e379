"""meProp (Sun et al., ICML 2017): backward through a layer with the k largest entries of its output gradient alone.

`δ ← topk(|δ|) ⊙ δ`, then `∂W = δᵀ x` and `∂x = δ W` as ever. In the simple form each sample keeps entries of its own,
and dense kernels multiply zeros: nothing is saved. The unified form of the paper's section on mini-batches keeps, for a
batch, the k neurons whose gradients are largest in sum, so that both products are as much smaller.
"""

from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.peers.peer import Peer
from attrgraph_core.targeting.budget import budget_count


class MeProp(Peer):
    """Hidden linear layers pass back a `share` of their output gradient, by batch (`unified`) or by sample.

    The output layer, convolutions and all else are dense, as in the paper. Raises AttrGraphError for a network without
    a hidden linear layer, and for a share outside (0, 1].
    """

    def __init__(self, model: nn.Module, share: float, output_layer: str, *, unified: bool = True) -> None:
        super().__init__(model)
        if not 0 < share <= 1:
            raise AttrGraphError(f"share is {share}; meProp keeps a part above 0 and at most 1 of a layer's gradient")
        self.layers = [
            module for name, module in model.named_modules() if type(module) is nn.Linear and name != output_layer
        ]
        if not self.layers:
            raise AttrGraphError("meProp needs a hidden linear layer, and the network has none")
        for layer in self.layers:
            layer.__dict__["forward"] = _SparseLinear(layer, budget_count(share, layer.out_features), unified)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for layer in self.layers:
            layer.__dict__.pop("forward", None)


class _SparseLinear:
    def __init__(self, layer: nn.Linear, count: int, unified: bool) -> None:
        self.layer, self.count, self.unified = layer, count, unified

    def __call__(self, inputs: Tensor) -> Tensor:
        layer = self.layer
        if self.unified:
            output: Tensor = _UnifiedLinear.apply(inputs, layer.weight, layer.bias, self.count)
            return output
        output = functional.linear(inputs, layer.weight, layer.bias)
        if output.requires_grad:
            output.register_hook(self._largest_of_each_sample)
        return output

    def _largest_of_each_sample(self, gradient: Tensor) -> Tensor:
        places = gradient.abs().topk(self.count, dim=-1).indices
        return torch.zeros_like(gradient).scatter(-1, places, gradient.gather(-1, places))


class _UnifiedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, count: int) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.count, ctx.has_bias = count, bias is not None
        return functional.linear(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        gradient = gradients[0].flatten(0, -2)
        columns = gradient.abs().sum(dim=0).topk(ctx.count).indices
        kept = gradient[:, columns]
        of_weight = torch.zeros_like(weight).index_copy(0, columns, kept.T @ inputs.flatten(0, -2))
        of_bias = weight.new_zeros(len(weight)).index_copy(0, columns, kept.sum(dim=0)) if ctx.has_bias else None
        of_inputs = (kept @ weight[columns]).view_as(inputs) if ctx.needs_input_grad[0] else None
        return of_inputs, of_weight, of_bias, None
