"""The built-in data sets by the name that experiments and studies call them; nothing is ever downloaded.

Each makes a map-style data set of items (input, label), which `load_data` splits, or a pair (train, test).
"""

from collections.abc import Callable
from typing import Any

from attrgraph_core.datasets.associative_recall import associative_recall
from attrgraph_core.datasets.breast_cancer import breast_cancer
from attrgraph_core.datasets.digits import digits, digits_images
from attrgraph_core.datasets.faulty import faulty
from attrgraph_core.datasets.huggingface import huggingface
from attrgraph_core.datasets.image_folder import image_folder
from attrgraph_core.datasets.mnist1d import mnist1d, mnist1d_signals
from attrgraph_core.datasets.torchvision_files import torchvision_files

DATASETS: dict[str, Callable[..., Any]] = {
    "digits": digits,
    "digits_images": digits_images,
    "mnist1d": mnist1d,
    "mnist1d_signals": mnist1d_signals,
    "breast_cancer": breast_cancer,
    "associative_recall": associative_recall,
    "torchvision": torchvision_files,
    "image_folder": image_folder,
    "huggingface": huggingface,
    "faulty": faulty,
}
