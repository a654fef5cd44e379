"""Another data set with a fault in its training samples, so that an experiment can have one."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch.utils.data import TensorDataset

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.training.user_factory import call_factory


def faulty(
    of: str, fault: str, arguments: dict[str, Any] | None = None, **settings: Any
) -> tuple[TensorDataset, TensorDataset]:
    """Training and test items of data set `of`, made with `arguments`; the training items with a fault.

    `fault` is `label_noise`, `backdoor` or `shortcut`, and `settings` are those of the function of that name in
    `attrgraph_core.faults`. Raises AttrGraphError for another fault, and as these functions do.
    """
    from attrgraph_core.training.data import load_data  # which knows the built-in sets, this one among them

    known = _faults()
    if fault not in known:
        raise AttrGraphError(f"unknown fault {fault!r}; known are {', '.join(known)}")
    data = call_factory(partial(known[fault], load_data(of, arguments)), fault, settings)
    return (
        TensorDataset(data.train_inputs, data.train_labels),
        TensorDataset(data.test_inputs, data.test_labels),
    )


def _faults() -> dict[str, Callable[..., Any]]:
    from attrgraph_core.faults.backdoor import backdoor, shortcut
    from attrgraph_core.faults.label_noise import label_noise

    return {"label_noise": label_noise, "backdoor": backdoor, "shortcut": shortcut}
