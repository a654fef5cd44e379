"""What passes between assets: small, frozen, kept as JSON in the run's folder. Arrays and weights stay in files."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str


class DatasetRecord(Record):
    """The data a run trains on; `fingerprint` changes with any byte of them."""

    name: str
    fingerprint: str
    train_count: int
    test_count: int
    class_count: int
    input_shape: tuple[int, ...]


class Checkpoint(BaseModel):
    """The network at the end of one epoch; `file` is relative to the run's folder. Epoch 0, before
    any step, is kept of the first stage only: that of a later one is the end of the stage before."""

    model_config = ConfigDict(frozen=True)

    epoch: int
    file: str
    loss: float
    accuracy: float
    train_accuracy: float
    learning_rate: float
    seconds: float
    flops: int = 0


class CheckpointsRecord(Record):
    """One stage of training, an entry an epoch, and what of the network it trained."""

    stage: int
    kind: str
    checkpoints: tuple[Checkpoint, ...]
    trained_neurons: int
    neuron_count: int
    trained_weights: int
    weight_count: int
    neuron_set_id: str | None
    seconds: float
    stopped_early: bool = False  # by `stop_when`

    @property
    def last(self) -> Checkpoint:
        return self.checkpoints[-1]


class SavedGraph(BaseModel):
    """One attribution graph in Neo4j."""

    model_config = ConfigDict(frozen=True)

    graph_id: str
    epoch: int
    target: str
    node_count: int
    edge_count: int
    total_edge_count: int
    kept_mass: float
    completeness_delta: float


class GraphsRecord(Record):
    """The graphs of one stage, of all epochs and targets."""

    stage: int
    graphs: tuple[SavedGraph, ...]
    attribution_seconds: float
    writing_seconds: float
    last_epoch_flops: int = 0  # of attributing the last epoch, from which neurons are chosen

    def last_of(self, target: str) -> SavedGraph:
        """The last epoch's graph of a target. Raises KeyError where the stage has none."""
        matching = [graph for graph in self.graphs if graph.target == target]
        if not matching:
            raise KeyError(target)
        return max(matching, key=lambda graph: graph.epoch)


class FoundCircuit(BaseModel):
    """What one query returned from one graph; `file` is a Parquet table, relative to the run's folder."""

    model_config = ConfigDict(frozen=True)

    circuit_id: str
    query: str
    parameters: dict[str, object]
    graph_id: str
    file: str
    row_count: int
    selects: bool


class CircuitsRecord(Record):
    stage: int
    circuits: tuple[FoundCircuit, ...]


class NeuronSetRecord(Record):
    """The neurons that the next stage trains, and the circuit they were chosen from.

    A stage of another kind than `targeted` chooses none: its kind is the policy, and there is no circuit.
    """

    neuron_set_id: str | None
    stage: int
    neurons: dict[str, tuple[int, ...]]
    policy: str
    budget: float
    set_hash: str
    circuit_id: str | None
    circuit_file: str | None = None  # of the edges or neurons that the next stage removes or trains
    scoring_flops: int = 0  # of all that the choice was made by, the graph included where the policy asks it
