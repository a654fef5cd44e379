"""Weights on disk: safetensors files that are whole or not there, and that know their own hash."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from attrgraph_core.errors import AttrGraphError

HASH_KEY = "weights_hash"  # in the file's metadata


def save_weights(path: Path, state_dict: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write weights to `path`, whose folder is made; a reader finds the old file or the new one, never a part.

    Tensors that share memory or are not contiguous are written as copies of their own, from any device.
    Raises AttrGraphError for an entry that is not a tensor, for metadata that are not text, and where the disk refuses.
    """
    for name, value in state_dict.items():
        if not isinstance(value, Tensor):
            raise AttrGraphError(f"{name!r} of the weights is a {type(value).__name__}, which cannot be saved")
    for key, text in (metadata or {}).items():
        if not isinstance(text, str):
            raise AttrGraphError(f"metadata {key!r} is {text!r}, not text; wrap it in str()")
    tensors = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in state_dict.items()
    }
    content = safetensors.torch.save(tensors, {**(metadata or {}), HASH_KEY: weights_hash(tensors)})
    try:
        _write_whole(path, content)
    except OSError as error:
        raise AttrGraphError(f"cannot write the weights {path}: {error.strerror or error}") from error


def load_weights(path: Path) -> dict[str, Tensor]:
    """The weights of a file, on the CPU. Raises AttrGraphError where it is missing, damaged or of another format."""
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is not a mapping)
            expected = (file.metadata() or {}).get(HASH_KEY)
    except OSError as error:
        raise AttrGraphError(f"cannot read the weights {path}: {error.strerror or error}") from error
    except safetensors.SafetensorError as error:
        raise AttrGraphError(f"{path} is damaged or not a safetensors file ({error}); train its stage again") from error
    if expected is not None and weights_hash(weights) != expected:
        raise AttrGraphError(f"{path} is damaged: its weights are not those written; train its stage again")
    return weights


def weights_hash(state_dict: Mapping[str, Tensor]) -> str:
    """SHA-256, in hexadecimal, over names, types, shapes and bytes; the order of the entries does not matter."""
    digest = hashlib.sha256()
    for name in sorted(state_dict):
        value = state_dict[name].detach().cpu().contiguous()
        digest.update(repr((name, str(value.dtype), tuple(value.shape))).encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder: a rename is atomic within one file system only.
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes files that only their owner reads
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
