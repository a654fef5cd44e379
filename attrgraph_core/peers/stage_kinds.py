"""The kinds of stage: how each trains a network. Read without torch by the experiment file."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StageKind:
    """`options` are the keys of the experiment file that the kind needs beside `epochs`; `paper` is its source."""

    meaning: str
    options: tuple[str, ...] = ()
    only_first: bool = False
    paper: str = ""


STAGE_KINDS = {
    "full": StageKind("all weights"),
    "targeted": StageKind("the neurons that a query and a policy choose, and the outputs", ("select",)),
    "head": StageKind("the output layer alone"),
    "top_layers": StageKind("the last `layers` layers, the output among them", ("layers",)),
    "random_layers": StageKind(
        "`layers` hidden layers, drawn each epoch, and the output", ("layers",), paper="LISA, Pan et al. 2024"
    ),
    "meprop": StageKind(
        "all weights, by a `share` of each hidden layer's output gradient", ("share",), paper="Sun et al. 2017"
    ),
    "drtp": StageKind("all weights, hidden layers by random projections of the label", paper="Frenkel et al. 2021"),
    "recycle": StageKind(
        "all weights; after each epoch a `share` of each hidden layer, of what does least, is renewed", ("share",),
        paper="Dohare et al. 2024",
    ),
    "ablate": StageKind(
        "all weights but those of a `circuit`'s edges, or into its neurons, which are removed", ("circuit",)
    ),
    "edges": StageKind("the weights of a `circuit`'s edges, or into its neurons, alone", ("circuit",)),
    "mask_inputs": StageKind(
        "all weights but those that read a `circuit`'s input neurons, which count as their mean", ("circuit",)
    ),
    "thin": StageKind(
        "a thinner network from the start, with a dense step of the FLOPs of a targeted one of this `share`",
        ("share",), only_first=True,
    ),
}  # fmt: skip
