"""Whether what is laid out computes what the model does, on a few samples.

A trace does not see work in place on a tensor that is read again under another name, branches on what `isinstance` or
`hasattr` say of a tensor, autocast that the forward switches on, or hooks that change what a layer puts out. Where the
scores differ, the first layer whose output does is named.
"""

import torch
from torch import Tensor, nn

from attrgraph_core.attribution.network_pass import NetworkPass, Recording, known_tokens
from attrgraph_core.attribution.structure import NetworkStructure
from attrgraph_core.errors import AttrGraphError

SAMPLES = 2
TF32_EPS = 2**-10  # of float32 products on a graphics card


def refuse_another_function(model: nn.Module, structure: NetworkStructure, inputs: Tensor) -> None:
    """Raise AttrGraphError where the pass and `model`, in evaluation mode, give the inputs other scores.

    Scores that are not finite are not compared. `nn.TransformerEncoder` is taken without its fast path, which gives
    padded positions zeros and is left as soon as a gradient is asked for.
    """
    samples = inputs[:SAMPLES].detach()
    with known_tokens(structure):
        by_model = _scores(model, samples)
    network_pass = NetworkPass(structure)
    by_pass = network_pass.run(samples.clone())
    if not isinstance(by_model, Tensor) or not bool(torch.isfinite(by_model).all()):
        return
    eps = _coarsest(model, by_model)
    if _are_equal(by_pass, by_model, eps):
        return
    name = type(model).__name__
    if not _are_equal(_scores(model, samples), by_model, eps):
        raise AttrGraphError(
            f"{name} gives other scores at each call, in evaluation mode, too; let it draw nothing there"
        )
    place = _first_that_differs(model, samples, network_pass.recording, eps)
    raise AttrGraphError(
        f"{name} computes something else than torch.fx sees of it{place}; let its forward not work in place on a "
        "tensor that is read again, branch on what a tensor is, or switch autocast on, and no hook change what a layer "
        "puts out"
    )


def _scores(model: nn.Module, samples: Tensor) -> Tensor:
    is_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        return model(samples.clone())
    finally:
        torch.backends.mha.set_fastpath_enabled(is_fast)


def _are_equal(found: Tensor, expected: Tensor, eps: float) -> bool:
    """But for rounding: half the digits of their precision are the same, beside the largest."""
    if found.shape != expected.shape:
        return False
    return bool((found - expected).abs().max() <= eps**0.5 * expected.abs().max())


def _coarsest(model: nn.Module, output: Tensor) -> float:
    """The relative error of the coarsest numbers that the model computes with."""
    types = {output.dtype, *(own.dtype for own in model.parameters() if own.is_floating_point())}
    if torch.is_autocast_enabled(output.device.type):
        types.add(torch.get_autocast_dtype(output.device.type))
    eps = max(torch.finfo(own).eps for own in types)
    return max(eps, TF32_EPS) if output.is_cuda and torch.float32 in types else eps


def _first_that_differs(model: nn.Module, samples: Tensor, recording: Recording, eps: float) -> str:
    """Of the layers, in words; empty where none does, or what differs comes after."""
    outputs: dict[str, Tensor] = {}
    handles = [
        model.get_submodule(name).register_forward_hook(
            lambda module, given, output, name=name: outputs.update({name: output.clone()})
        )
        for name, record in recording.layers.items()
        if record.layer.operation == "weighted" and str(record.layer.node.target) == name
    ]
    try:
        _scores(model, samples)
    finally:
        for handle in handles:
            handle.remove()
    for name, output in outputs.items():
        if not _are_equal(recording.layers[name].output, output, eps):
            return f", first at layer {name!r}"
    return ""
