"""Devices by name."""

import pytest
import torch

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.training.device import choose_device


@pytest.fixture
def machine(monkeypatch):
    """Makes this machine look as if it had some CUDA devices."""

    def with_devices(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return with_devices


@pytest.mark.parametrize(
    ("count", "name", "expected"), [(0, "auto", "cpu"), (2, "auto", "cuda"), (2, "cpu", "cpu"), (2, "cuda:1", "cuda:1")]
)
def test_chooses(machine, count, name, expected):
    machine(count)
    assert choose_device(name) == torch.device(expected)


@pytest.mark.parametrize(
    ("count", "name", "message"),
    [
        (0, "gpu", "unknown device 'gpu'; known are auto, cpu, cuda and cuda:<index>"),
        (0, "meta", "unknown device 'meta'"),
        (0, "cuda", "device 'cuda' is not there"),
        (2, "cuda:2", "device 'cuda:2' is not there"),
    ],
)
def test_names_what_is_wrong(machine, count, name, message):
    machine(count)
    with pytest.raises(AttrGraphError, match=message):
        choose_device(name)
