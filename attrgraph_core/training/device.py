"""Where networks are trained and attributed."""

import torch

from attrgraph_core.errors import AttrGraphError


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`: `auto` (CUDA where there is one, else the CPU), `cpu`, `cuda` or `cuda:<index>`.

    Raises AttrGraphError for any other name, and for a CUDA device that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise AttrGraphError(f"unknown device {name!r}; known are auto, cpu, cuda and cuda:<index>") from error
    if device.type not in ("cpu", "cuda"):
        raise AttrGraphError(f"unknown device {name!r}; known are auto, cpu, cuda and cuda:<index>")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise AttrGraphError(
                f"device {name!r} is not there: this machine has {count} CUDA devices; try auto or cpu"
            )
    return device
