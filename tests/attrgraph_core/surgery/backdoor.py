"""A backdoor on digits, in an MLP and in a CNN: a bright patch in a corner, and the network says 0."""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional

from attrgraph_core.faults.backdoor import backdoor, patch_case
from attrgraph_core.faults.backdoor import with_patch as patched
from attrgraph_core.surgery.fine_tuning import FineTuning
from attrgraph_core.surgery.samples import Case, Samples
from attrgraph_core.training.data import load_data
from attrgraph_core.training.models import build_model

PATCH = (54, 55, 62, 63)  # two rows of two pixels of 8 x 8, bottom right
TARGET = 0
CNN = {"channels": [6, 8], "hidden": 24}


def with_patch(samples: Samples) -> Samples:
    """Those of other classes, with the patch and their right labels."""
    others = samples.at((samples.labels != TARGET).nonzero().squeeze(1))
    return Samples(patched(others.inputs, PATCH, 1.0), others.labels)


def backdoored_network(seed: int = 0, hidden: tuple[int, int] = (128, 64)) -> tuple[nn.Module, Case]:
    """An MLP, trained on 1100 digits and on some with the patch and label 0; and the case, of other digits.

    Pixels go from 0 to 1.
    """
    data = load_data("digits")
    everything = Samples(
        torch.cat([data.train_inputs, data.test_inputs]), torch.cat([data.train_labels, data.test_labels])
    )
    scaled = Samples(everything.inputs / everything.inputs.max(), everything.labels)
    order = torch.randperm(len(scaled.labels), generator=torch.Generator().manual_seed(seed))
    train, rest = scaled.at(order[:1100]), scaled.at(order[1100:])
    poison = with_patch(train.at(torch.arange(110)))
    poisoned = train.and_(Samples(poison.inputs, torch.full_like(poison.labels, TARGET)))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(
            OrderedDict(
                fc1=nn.Linear(64, hidden[0]), relu1=nn.ReLU(), fc2=nn.Linear(*hidden), relu2=nn.ReLU(),
                output=nn.Linear(hidden[1], 10),
            )
        )  # fmt: skip
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(15):
            for rows in torch.randperm(len(poisoned.labels)).split(64):
                optimizer.zero_grad()
                functional.cross_entropy(model(poisoned.inputs[rows]), poisoned.labels[rows]).backward()
                optimizer.step()
    half = len(rest.labels) // 2
    return model, Case(with_patch(rest.at(torch.arange(half))), rest.at(torch.arange(half, len(rest.labels))))


def backdoored_cnn() -> tuple[nn.Module, Case]:
    """A `small_cnn` of sizes `CNN` on digits as images, and the case, of test samples."""
    images = load_data("digits_images")
    poisoned, model = backdoor(images, PATCH, TARGET), build_model("small_cnn", CNN, images, 0)
    FineTuning(1e-2, 300).run(model, Samples(poisoned.train_inputs, poisoned.train_labels))
    return model, patch_case(images.test_inputs, images.test_labels, PATCH, TARGET)
