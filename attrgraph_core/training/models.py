"""The networks of experiments: built-in ones and users' own, with weights that depend on the seed alone."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.import_path import load_object
from attrgraph_core.training.data import TrainingData
from attrgraph_core.training.reproducibility import derive_seed, seeded
from attrgraph_core.training.user_factory import call_factory


def mlp(input_shape: Sequence[int], class_count: int, hidden: Sequence[int] = (128, 64)) -> nn.Sequential:
    """Linear layers `fc1`, `fc2`, ..., `output` with ReLU between; `hidden` are their widths."""
    _check_widths("hidden", hidden)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    width = 1
    for size in input_shape:
        width *= size
    if len(input_shape) > 1:
        layers["flatten"] = nn.Flatten()
    for position, next_width in enumerate(hidden, start=1):
        layers[f"fc{position}"] = nn.Linear(width, next_width)
        layers[f"relu{position}"] = nn.ReLU()
        width = next_width
    layers["output"] = nn.Linear(width, class_count)
    return nn.Sequential(layers)


def small_cnn(
    input_shape: Sequence[int], class_count: int, channels: Sequence[int] = (16, 32), hidden: int = 64
) -> nn.Sequential:
    """3x3 convolutions `conv1`, `conv2`, ... each with ReLU and 2x2 max pooling, then `fc1` and `output`.

    `input_shape` is (channels, rows, columns); each pooling halves rows and columns.
    """
    _check_widths("channels", channels)
    _check_widths("hidden", [hidden])
    if len(input_shape) != 3:
        raise AttrGraphError(f"small_cnn takes images (channels, rows, columns), not shape {tuple(input_shape)}")
    taken, rows, columns = input_shape
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for position, given in enumerate(channels, start=1):
        layers[f"conv{position}"] = nn.Conv2d(taken, given, kernel_size=3, padding=1)
        layers[f"relu{position}"] = nn.ReLU()
        layers[f"pool{position}"] = nn.MaxPool2d(2)
        taken, rows, columns = given, rows // 2, columns // 2
    if rows == 0 or columns == 0:
        raise AttrGraphError(
            f"images of {input_shape[1]} x {input_shape[2]} cannot be halved {len(channels)} times; use fewer "
            f"channels than {list(channels)}"
        )
    layers["flatten"] = nn.Flatten()
    layers["fc1"] = nn.Linear(taken * rows * columns, hidden)
    layers[f"relu{len(channels) + 1}"] = nn.ReLU()
    layers["output"] = nn.Linear(hidden, class_count)
    return nn.Sequential(layers)


def embedding_classifier(
    input_shape: Sequence[int], class_count: int, width: int = 16, hidden: Sequence[int] = (128,)
) -> nn.Sequential:
    """One-hot tokens of shape (tokens, vocabulary), embedded in `width` features by `embedding`, then an `mlp`.

    The embedding is a linear layer without bias, the same function of a one-hot token as a table's row.
    """
    if len(input_shape) != 2:
        raise AttrGraphError(
            f"embedding_classifier takes one-hot tokens (tokens, vocabulary), not shape {tuple(input_shape)}"
        )
    _check_widths("width", [width])
    tokens, vocabulary = input_shape
    rest = mlp((tokens, width), class_count, hidden)
    return nn.Sequential(OrderedDict(embedding=nn.Linear(vocabulary, width, bias=False), **dict(rest.named_children())))


MODELS: dict[str, Callable[..., nn.Module]] = {
    "mlp": mlp, "small_cnn": small_cnn, "embedding_classifier": embedding_classifier,
}  # fmt: skip


def build_model(factory: str, arguments: Mapping[str, Any] | None, data: TrainingData, seed: int) -> nn.Module:
    """The network that `factory` makes, on the CPU, with weights drawn under `seed`.

    `factory` is a built-in name (one of `MODELS`), called with the data's input_shape and class_count and the
    `arguments`, or an import path `package.module:function`, called with the `arguments` alone. PyTorch's random state
    is as before.
    Raises AttrGraphError where it does not make an `nn.Module` that turns two inputs of the data into class scores of
    shape (2, class_count).
    """
    arguments = arguments or {}
    if ":" in factory:
        function: Callable[..., Any] = load_object(factory)
    elif factory in MODELS:
        function = MODELS[factory]
        given = {"input_shape", "class_count"} & arguments.keys()
        if given:
            raise AttrGraphError(f"model {factory!r} takes {' and '.join(sorted(given))} from the data; leave them out")
        arguments = {"input_shape": data.input_shape, "class_count": data.class_count, **arguments}
    else:
        raise AttrGraphError(f"unknown model {factory!r}; known are {', '.join(MODELS)} and package.module:function")
    with seeded(derive_seed(seed)):
        model = call_factory(function, factory, arguments)
        if not isinstance(model, nn.Module):
            raise AttrGraphError(f"model {factory!r} is a {type(model).__name__}, not a torch.nn.Module")
        _check_scores(model, factory, data)
    return model


def _check_scores(model: nn.Module, factory: str, data: TrainingData) -> None:
    try:
        with evaluation_mode(model), torch.no_grad():
            scores = model(data.train_inputs[:2])
    except Exception as error:
        raise AttrGraphError(
            f"model {factory!r} cannot take inputs of shape {data.input_shape}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(scores, Tensor):
        raise AttrGraphError(f"model {factory!r} returns a {type(scores).__name__}, not one tensor of class scores")
    if scores.shape != (2, data.class_count):
        raise AttrGraphError(
            f"model {factory!r} turns 2 inputs into shape {tuple(scores.shape)}; with {data.class_count} classes "
            f"it must be (2, {data.class_count})"
        )


def _check_widths(name: str, widths: Sequence[int]) -> None:
    if not isinstance(widths, list | tuple):
        raise AttrGraphError(f"{name} is {widths!r}, not a list of whole numbers such as [128, 64]")
    for width in widths:
        if not isinstance(width, int) or isinstance(width, bool) or width < 1:
            raise AttrGraphError(f"{name} has {width!r}, not a whole number from 1 on")
