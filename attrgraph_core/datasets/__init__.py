"""The built-in data sets by the name that experiments and studies call them; nothing is ever downloaded.

Each makes a map-style data set of items (input, label), which `load_data` splits, or a pair (train, test); it is
imported when it is asked for.
"""

DATASETS = {
    "digits": "attrgraph_core.datasets.digits:digits",
    "digits_images": "attrgraph_core.datasets.digits:digits_images",
    "mnist1d": "attrgraph_core.datasets.mnist1d:mnist1d",
    "mnist1d_signals": "attrgraph_core.datasets.mnist1d:mnist1d_signals",
    "breast_cancer": "attrgraph_core.datasets.breast_cancer:breast_cancer",
    "associative_recall": "attrgraph_core.datasets.associative_recall:associative_recall",
    "torchvision": "attrgraph_core.datasets.torchvision_files:torchvision_files",
    "image_folder": "attrgraph_core.datasets.image_folder:image_folder",
    "huggingface": "attrgraph_core.datasets.huggingface:huggingface",
    "faulty": "attrgraph_core.datasets.faulty:faulty",
}
