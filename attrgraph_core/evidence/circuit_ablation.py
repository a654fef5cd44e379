"""What a network scores on held-out samples when only a circuit is real, or everything but it."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from attrgraph_core.attribution.ablation import Kind
from attrgraph_core.attribution.checks import device_of
from attrgraph_core.attribution.evaluation import evaluation_mode
from attrgraph_core.attribution.layout import network_structure
from attrgraph_core.attribution.target import make_target
from attrgraph_core.circuits.circuit import Circuit, Edge, Neuron
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.evidence.masked_pass import MaskedPass, Real, RealEdges, RealNeurons, Replacements
from attrgraph_core.evidence.network_edges import NetworkEdges


class CircuitAblation:
    """Held-out samples `inputs` (samples, ...) on which circuits of one network are ablated, exactly.

    A circuit of edges leaves all other edges of the network out. A circuit of neurons leaves the other neurons of its
    own layers out, of those before the scores; in layers of which it has no neuron all stay. `reference` (others, ...)
    are the samples whose mean, or values, stand in the place of what is ablated: all classes', where `inputs` are of
    one class. Targets are those of `attribute`. The network is left as it was. Raises AttrGraphError for tokens as
    neurons, an unknown kind, and what `attribute` refuses.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Tensor,
        target: int | str | Tensor,
        *,
        labels: Tensor | None = None,
        kind: Kind = "mean",
        reference: Tensor | None = None,
        seed: int = 0,
    ):
        if not len(inputs):
            raise AttrGraphError("there are no samples to ablate on")
        device = device_of(model)
        self.model, self.kind = model, kind
        self.inputs = inputs.to(device)
        with evaluation_mode(model), torch.no_grad():
            self.structure = network_structure(model, self.inputs)
            self.target = make_target(target, labels, len(inputs))
            self.target.check(len(inputs), self.structure.output_layer.width)
            self.target = self.target.to(device)
            self.edges = NetworkEdges(self.structure)
            others = self.inputs if reference is None else reference.to(device)
            self.replacements = Replacements(self.structure, others, kind, len(inputs), seed)
            self.whole = self.target.score(model(self.inputs))

    def scores(self, real: Real) -> Tensor:
        """The target's score of each sample, (samples,)."""
        with evaluation_mode(self.model), torch.no_grad():
            return self.target.score(MaskedPass(self.structure, real, self.replacements).scores(self.inputs))

    def only(self, circuit: Circuit) -> Tensor:
        """Scores with the circuit alone."""
        return self.scores(self.real_neurons(circuit) if circuit.edges is None else self.real_edges(circuit.edges))

    def without(self, circuit: Circuit) -> Tensor:
        """Scores with everything but the circuit."""
        removed = circuit.edges is not None
        if circuit.edges is not None:
            return self.scores(self.real_edges(circuit.edges, removed))
        inverse = {layer: ~mask for layer, mask in self.real_neurons(circuit).by_layer.items()}
        return self.scores(RealNeurons(inverse))

    def nothing(self, circuit: Circuit) -> Tensor:
        """Scores with nothing real where the circuit is, (samples,)."""
        if circuit.edges is not None:
            return self.scores(self.real_edges(()))
        return self.scores(RealNeurons({layer: mask & False for layer, mask in self._scope(circuit).items()}))

    def real_edges(self, edges: Iterable[Edge], removed: bool = False) -> RealEdges:
        return RealEdges(self.edges.keys(edges), self.edges.neuron_count, removed)

    def real_neurons(self, circuit: Circuit) -> RealNeurons:
        masks = self._scope(circuit)
        for layer, index in circuit.neurons:
            if layer in masks:
                masks[layer][index] = True
        return RealNeurons(masks)

    def parts(self, circuit: Circuit) -> Sequence[Edge | Neuron]:
        """The circuit's edges, or its neurons before the scores."""
        if circuit.edges is not None:
            return circuit.edges
        return [neuron for neuron in circuit.neurons if neuron[0] != self.structure.output_layer.name]

    def less(self, circuit: Circuit, part: Edge | Neuron) -> Real:
        """The circuit with one part of it taken out."""
        if circuit.edges is not None:
            return self.real_edges(edge for edge in circuit.edges if edge != part)
        masks = self.real_neurons(circuit)
        masks.by_layer[part[0]][part[1]] = False
        return masks

    def share_of_network(self, circuit: Circuit) -> float:
        """The circuit's part of the network's edges, or of the neurons of its own layers."""
        if circuit.edges is not None:
            return len(circuit.edges) / self.edges.count
        masks = self.real_neurons(circuit).by_layer.values()
        return sum(int(mask.sum()) for mask in masks) / sum(map(len, masks))

    def _scope(self, circuit: Circuit) -> dict[str, Tensor]:
        self.edges.keys((*neuron, *neuron) for neuron in circuit.neurons)  # names a neuron that is not there
        if self.structure.reads_tokens and any(layer == "input" for layer, _ in circuit.neurons):
            raise AttrGraphError("tokens have no value to ablate; ablate the features of their embedding")
        output = self.structure.output_layer.name
        named = dict.fromkeys(layer for layer, _ in circuit.neurons if layer != output)
        if not named:
            raise AttrGraphError("the circuit has no neuron before the scores, so there is nothing to ablate")
        return {layer: torch.zeros(self.structure.widths[layer], dtype=torch.bool) for layer in named}
