"""A thin dense network whose training step takes as many FLOPs as a targeted step of the whole one.

The plainest way to spend less: fewer neurons, all of which train.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.targeting.budget import budget_count
from attrgraph_core.targeting.target_neurons import targetable_layers
from attrgraph_core.training.counted_flops import counted_flops

TOLERANCE = 0.01  # of the FLOPs
WIDTH_ARGUMENTS = ("channels", "hidden")  # of the built-in models, and by custom of others'

Build = Callable[[Mapping[str, Any]], nn.Module]


def thin_arguments(build: Build, arguments: Mapping[str, Any], share: float, sample: Tensor) -> dict[str, Any]:
    """The arguments of a network with a dense step of as many FLOPs as a step on `share` of each hidden layer.

    `build(arguments)` makes a network; its widths are what `arguments` has under `hidden` and `channels`. All are
    scaled alike, then moved one by one to within 1 %. Raises AttrGraphError where there are no widths, or none come as
    near.
    """
    names = [name for name in WIDTH_ARGUMENTS if name in arguments]
    if not names:
        raise AttrGraphError(
            "a thin network needs to know the widths: name 'hidden' (or 'channels') in the model's arguments"
        )
    wanted = targeted_step_flops(build(arguments), share, sample)

    def flops_of(widths: Sequence[int]) -> int:
        return dense_step_flops(build(_with_widths(arguments, names, widths)), sample)

    widths = _scaled(_widths(arguments, names), wanted, flops_of)
    widths = _moved(widths, wanted, flops_of)
    error = abs(flops_of(widths) / wanted - 1)
    if error > TOLERANCE:
        raise AttrGraphError(
            f"no widths near {widths} make a step of the FLOPs of a share of {share:g}: the nearest are "
            f"{error:.1%} off; take a wider network or another share"
        )
    return _with_widths(arguments, names, widths)


def dense_step_flops(model: nn.Module, sample: Tensor) -> int:
    """FLOPs of forward and backward of a full step on `sample` (samples, ...), counted."""
    with counted_flops() as counted:
        model(sample).sum().backward()
    return counted.flops


def targeted_step_flops(model: nn.Module, share: float, sample: Tensor) -> int:
    """The same of a step that trains `share` of each hidden layer and the whole last one, counted."""
    from attrgraph_core.targeting.target_neurons import target_neurons

    layers = targetable_layers(model)
    last = list(layers)[-1]
    neurons = {
        name: range(len(layer.weight) if name == last else budget_count(share, len(layer.weight)))
        for name, layer in layers.items()
    }
    with target_neurons(model, neurons), counted_flops() as counted:
        model(sample).sum().backward()
    return counted.flops


def _scaled(widths: list[int], wanted: int, flops_of: Callable[[Sequence[int]], int]) -> list[int]:
    """All widths by one factor, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        if flops_of([max(1, round(width * middle)) for width in widths]) > wanted:
            high = middle
        else:
            low = middle
    return [max(1, round(width * low)) for width in widths]


def _moved(widths: list[int], wanted: int, flops_of: Callable[[Sequence[int]], int]) -> list[int]:
    """Neuron by neuron, in whatever layer brings the FLOPs nearest, as long as it does."""
    best, error = widths, abs(flops_of(widths) - wanted)
    while error:
        near = [
            [width + step if place == moved else width for place, width in enumerate(best)]
            for moved in range(len(best))
            for step in (-1, 1)
            if best[moved] + step >= 1
        ]
        errors = [abs(flops_of(candidate) - wanted) for candidate in near]
        if min(errors) >= error:
            break
        error = min(errors)
        best = near[errors.index(error)]
    return best


def _widths(arguments: Mapping[str, Any], names: Sequence[str]) -> list[int]:
    found: list[int] = []
    for name in names:
        found += [arguments[name]] if isinstance(arguments[name], int) else list(arguments[name])
    return found


def _with_widths(arguments: Mapping[str, Any], names: Sequence[str], widths: Sequence[int]) -> dict[str, Any]:
    changed, left = dict(arguments), list(widths)
    for name in names:
        is_one = isinstance(arguments[name], int)
        count = 1 if is_one else len(arguments[name])
        changed[name] = left[0] if is_one else left[:count]
        left = left[count:]
    return changed
