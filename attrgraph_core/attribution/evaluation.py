"""Looking at a network without a trace: mode, gradients and random state are as before, whatever happens."""

import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch import nn


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
def seeded(seed: int) -> Iterator[None]:
    """Random draws of torch, NumPy and Python made by `seed`; their states are as before after."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
            yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)
