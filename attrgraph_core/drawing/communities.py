"""Neurons in the colour of the community that a query found them in, else of the sign of their attribution."""

import numpy as np
import pandas as pd

from attrgraph_core.drawing.layout import Layout
from attrgraph_core.drawing.styles import AGAINST, FOR

# ColorBrewer's Dark2, which has neither the red nor the blue of edges.
COLOURS = ("#1b9e77", "#d95f02", "#7570b3", "#e7298a", "#66a61e", "#e6ab02", "#a6761d")
OTHERS = "#666666"  # of all further communities, and of none


def neuron_colours(layout: Layout, communities: pd.DataFrame | None) -> tuple[np.ndarray, dict[str, str]]:
    """The colour of each neuron of a layout, (neurons,), and what the colours of communities mean: words to colours.

    `communities` is the table of the query of that name: layer, index, community (the largest is 0) and name of each
    neuron. Without it neurons have the colour of their sign, which needs no words.
    """
    neurons = layout.graph.neurons
    if communities is None:
        return np.where(neurons["attribution"] >= 0, FOR, AGAINST), {}
    known = communities.set_index(["layer", "index"])
    found = known["community"].reindex(pd.MultiIndex.from_frame(neurons[["layer", "index"]])).to_numpy()
    colours = [COLOURS[int(each)] if each < len(COLOURS) else OTHERS for each in found]  # nan is below nothing
    names = known.groupby("community")["name"].first()
    words = {f"{each}: {name}": COLOURS[each] for each, name in names.items() if each < len(COLOURS)}
    return np.array(colours), words | ({"others": OTHERS} if OTHERS in colours else {})
