"""Random numbers that depend on what is run, and on nothing that was drawn before."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from attrgraph_core.errors import AttrGraphError


def derive_seed(*parts: int) -> int:
    """One seed out of several non-negative numbers, such as (seed, stage); another number or order, another seed."""
    if any(part < 0 for part in parts):
        raise AttrGraphError(f"a seed cannot be negative: {parts}; use 0 or more")
    # Their number first: SeedSequence fills up with zeros, so that (1,) and (1, 0) would be one.
    return int(np.random.SeedSequence((len(parts), *parts)).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Inside, PyTorch's CPU generator, and that of a CUDA `device`, start from `seed`; after, they are as before."""
    on_cuda = device is not None and device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_cuda else []):
        # torch.manual_seed would also reseed CUDA devices that are not restored.
        torch.random.default_generator.manual_seed(seed)
        if on_cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
