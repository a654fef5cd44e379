"""Looking at a network without a trace: mode, gradients and random state are as before, whatever happens."""

import random
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_CONTAINERS = (list, set, dict, OrderedDict)


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """The model in `eval()` mode, each module's own mode restored after; under inference mode, gradients can be had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext():
            yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """What the model's forward leaves behind goes: attributes, what it puts into its lists, sets and dicts, values of
    buffers and other tensors of its own, random draws, copies of weights for autocast."""
    kept = [(vars(module), dict(vars(module))) for module in model.modules()]
    parts = [part for _, own in kept for value in own.values() for part in _parts(value)]
    contents = [(part, copy(part)) for part in parts if type(part) in _CONTAINERS]
    tensors = [part for part in parts if isinstance(part, Tensor) and not isinstance(part, nn.Parameter)]
    values = [(own, own._version, own.detach().clone()) for own in tensors if not own.is_inference()]
    devices = {tensor.device.index for tensor in (*model.parameters(), *model.buffers()) if tensor.is_cuda}
    caches = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        with random_state(sorted(devices)):
            yield
    finally:
        torch.set_autocast_cache_enabled(caches)
        for part, before in (*kept, *contents):
            _restore(part, before)
        with torch.no_grad():
            for tensor, version, before in values:
                if tensor._version != version:
                    tensor.copy_(before)


def _parts(value: Any) -> Iterator[Any]:
    """A value and what it holds, containers in containers too; modules are looked at one by one."""
    if isinstance(value, nn.Module):
        return
    yield value
    if type(value) in _CONTAINERS:
        for part in value.values() if isinstance(value, dict) else value:
            yield from _parts(part)


def _restore(part: Any, before: Any) -> None:
    if isinstance(part, dict):
        if list(part) != list(before) or any(part[key] is not before[key] for key in before):
            part.clear()
            part.update(before)
    elif isinstance(part, list):
        part[:] = before
    else:
        part &= before
        part |= before


@contextmanager
def random_state(devices: Sequence[int] | None = None) -> Iterator[None]:
    """The random states of torch, of some graphics cards or of all, of NumPy and of Python are as before after."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random draws of torch, NumPy and Python made by `seed`; their states are as before after."""
    with random_state():
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        yield
