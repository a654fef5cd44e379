"""Asset checks: each asks the thing itself, the weights on disk or the graphs in Neo4j, not the record of it."""

from typing import TYPE_CHECKING

import dagster as dg

from attrgraph_core.errors import AttrGraphError
from pipelines.evidence_checks import evidence_checks
from pipelines.failures import failures_named
from pipelines.partitions import experiment_and_seed, run_partitions
from pipelines.records import CheckpointsRecord, CircuitsRecord, DatasetRecord, GraphsRecord, NeuronSetRecord
from pipelines.resources import GraphStoreResource
from pipelines.run_folder import run_folder

if TYPE_CHECKING:
    import pandas as pd

LARGEST_COMPLETENESS_DELTA = 1e-3
LARGEST_CAPTUM_DIFFERENCE = 1e-3
KINDS_THAT_FREEZE = ("targeted", "head", "top_layers", "edges")


def stage_checks(position: int, is_last: bool) -> list[dg.AssetChecksDefinition]:
    checks = [
        weights_are_finite(position),
        every_epoch_has_a_graph(position),
        attributions_are_complete(position),
        attributions_match_captum(position),
        edges_hold_their_mass(position),
        evidence_checks(position),
    ]
    if position > 1:
        checks.append(only_target_neurons_moved(position))
    return checks if is_last else [*checks, neuron_set_exists_in_graph(position)]


def stored_graphs(graph_store: GraphStoreResource, graphs: GraphsRecord) -> "pd.DataFrame":
    """What Neo4j says of the graphs of a stage, a row a graph. Fails where it has none of them."""
    with failures_named(), graph_store.open() as store:
        found = store.graphs(graphs.run_id)
        stored = found[found["graph_id"].isin([graph.graph_id for graph in graphs.graphs])]
        if stored.empty:
            raise AttrGraphError(f"Neo4j has no graph of stage {graphs.stage} of run {graphs.run_id}; make them again")
    return stored


def weights_are_finite(position: int) -> dg.AssetChecksDefinition:
    asset = f"stage_{position}_checkpoints"

    @dg.asset_check(asset=asset, name="weights_are_finite", blocking=True, partitions_def=run_partitions)
    def check(context: dg.AssetCheckExecutionContext, checkpoints: CheckpointsRecord) -> dg.AssetCheckResult:
        """No weight of any epoch is NaN or infinite."""
        from attrgraph_core.training.weights import load_weights

        bad = [
            f"{name} at epoch {checkpoint.epoch}"
            for checkpoint in checkpoints.checkpoints
            for name, tensor in load_weights(run_folder(checkpoints.run_id) / checkpoint.file).items()
            if not bool(tensor.isfinite().all())
        ]
        return dg.AssetCheckResult(passed=not bad, metadata={"not_finite": ", ".join(bad) or "none"})

    return check


def only_target_neurons_moved(position: int) -> dg.AssetChecksDefinition:
    asset = f"stage_{position}_checkpoints"

    @dg.asset_check(
        asset=asset,
        name="only_target_neurons_moved",
        blocking=True,
        partitions_def=run_partitions,
        additional_ins={
            "previous": dg.AssetIn(f"stage_{position - 1}_checkpoints"),
            "chosen": dg.AssetIn(f"stage_{position - 1}_neuron_set"),
        },
    )
    def check(
        context: dg.AssetCheckExecutionContext,
        checkpoints: CheckpointsRecord,
        previous: CheckpointsRecord,
        chosen: NeuronSetRecord,
    ) -> dg.AssetCheckResult:
        """All weights outside of the neuron set's rows, or the circuit's edges, are bit for bit those of before."""
        from pipelines.frozen_weights import frozen_that_moved

        if checkpoints.kind not in KINDS_THAT_FREEZE:
            return dg.AssetCheckResult(passed=True, metadata={"moved": f"a {checkpoints.kind} stage may move all"})
        experiment, seed = experiment_and_seed(context.partition_key)
        with failures_named():
            moved = frozen_that_moved(experiment, seed, checkpoints, previous, chosen)
        return dg.AssetCheckResult(passed=not moved, metadata={"moved": ", ".join(moved) or "none"})

    return check


def every_epoch_has_a_graph(position: int) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=f"stage_{position}_attribution_graphs",
        name="every_epoch_has_a_graph",
        blocking=True,
        partitions_def=run_partitions,
        additional_ins={"checkpoints": dg.AssetIn(f"stage_{position}_checkpoints")},
    )
    def check(
        graph_store: GraphStoreResource, graphs: GraphsRecord, checkpoints: CheckpointsRecord
    ) -> dg.AssetCheckResult:
        """Neo4j holds every graph that was made of every epoch, whole: as many neurons and edges as were written."""
        with failures_named(), graph_store.open() as store:
            stored = store.query("graph_sizes", run_id=graphs.run_id).set_index("graph_id")
        wrong = [graph.graph_id for graph in graphs.graphs if graph.graph_id not in stored.index]
        wrong += [
            graph.graph_id
            for graph in graphs.graphs
            if graph.graph_id in stored.index
            and tuple(stored.loc[graph.graph_id, ["node_count", "edge_count"]]) != (graph.node_count, graph.edge_count)
        ]
        epochs = {graph.epoch for graph in graphs.graphs}
        missing = [checkpoint.epoch for checkpoint in checkpoints.checkpoints if checkpoint.epoch not in epochs]
        return dg.AssetCheckResult(
            passed=not wrong and not missing,
            metadata={"graphs": len(graphs.graphs), "wrong": str(wrong[:5]), "epochs_without_a_graph": str(missing)},
        )

    return check


def attributions_are_complete(position: int) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=f"stage_{position}_attribution_graphs",
        name="attributions_are_complete",
        partitions_def=run_partitions,
    )
    def check(graph_store: GraphStoreResource, graphs: GraphsRecord) -> dg.AssetCheckResult:
        """What the attributions of each stored graph fail to add up to is under a thousandth of the score."""
        stored = stored_graphs(graph_store, graphs)
        worst = stored.sort_values("completeness_delta").iloc[-1]
        return dg.AssetCheckResult(
            passed=bool(worst["completeness_delta"] < LARGEST_COMPLETENESS_DELTA),
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "largest_completeness_delta": float(worst["completeness_delta"]), "graph_id": str(worst["graph_id"])
            },
        )  # fmt: skip

    return check


def edges_hold_their_mass(position: int) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=f"stage_{position}_attribution_graphs",
        name="edges_hold_their_mass",
        partitions_def=run_partitions,
    )
    def check(
        context: dg.AssetCheckExecutionContext, graph_store: GraphStoreResource, graphs: GraphsRecord
    ) -> dg.AssetCheckResult:
        """The stored edges hold `edge_mass` of the influence; fewer where `max_edges_per_neuron` cut them off."""
        experiment, _ = experiment_and_seed(context.partition_key)
        worst = stored_graphs(graph_store, graphs).sort_values("kept_mass").iloc[0]
        return dg.AssetCheckResult(
            passed=bool(worst["kept_mass"] >= experiment.attribution.edge_mass),
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "smallest_kept_mass": float(worst["kept_mass"]),
                "asked": experiment.attribution.edge_mass,
                "graph_id": str(worst["graph_id"]),
            },
        )

    return check


def attributions_match_captum(position: int) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=f"stage_{position}_attribution_graphs",
        name="attributions_match_captum",
        partitions_def=run_partitions,
        additional_ins={
            "dataset": dg.AssetIn("dataset"),
            "checkpoints": dg.AssetIn(f"stage_{position}_checkpoints"),
        },
    )
    def check(
        context: dg.AssetCheckExecutionContext,
        graphs: GraphsRecord,
        dataset: DatasetRecord,
        checkpoints: CheckpointsRecord,
    ) -> dg.AssetCheckResult:
        """The neurons of the last epoch have Captum's attributions, in the layers where Captum's own add up."""
        from attrgraph_core.attribution.captum_check import CAPTUM_TWINS, compare_with_captum
        from pipelines.attribution_sample import baseline_of, sample_of
        from pipelines.training_run import load_checked_data, model_at

        experiment, seed = experiment_and_seed(context.partition_key)
        if experiment.attribution.method not in CAPTUM_TWINS:
            return dg.AssetCheckResult(
                passed=True, metadata={"not_compared": f"Captum has no twin of {experiment.attribution.method}"}
            )
        data = load_checked_data(experiment, dataset)
        inputs, labels = sample_of(experiment, data)
        comparison = compare_with_captum(
            model_at(experiment, seed, data, checkpoints.last),
            inputs,
            labels,
            experiment.attribution.method,
            baseline_of(experiment, inputs),
        )
        return dg.AssetCheckResult(
            passed=comparison.largest_difference < LARGEST_CAPTUM_DIFFERENCE,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "largest_relative_difference": comparison.largest_difference,
                "compared_layers": ", ".join(comparison.compared),
                "layers_where_captum_does_not_add_up": ", ".join(comparison.captum_incomplete) or "none",
            },
        )

    return check


def neuron_set_exists_in_graph(position: int) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=f"stage_{position}_neuron_set",
        name="neuron_set_exists_in_graph",
        blocking=True,
        partitions_def=run_partitions,
        additional_ins={"circuits": dg.AssetIn(f"stage_{position}_circuits")},
    )
    def check(
        graph_store: GraphStoreResource, neuron_set: NeuronSetRecord, circuits: CircuitsRecord
    ) -> dg.AssetCheckResult:
        """Neo4j holds the set, with all its neurons, joined to the circuit that it was chosen from."""
        if neuron_set.neuron_set_id is None:
            return dg.AssetCheckResult(passed=True, metadata={"not_chosen": f"the stage is {neuron_set.policy}"})
        with failures_named(), graph_store.open() as store:
            found = store.query("neuron_set", neuron_set_id=neuron_set.neuron_set_id)
        expected = {(layer, index) for layer, indices in neuron_set.neurons.items() for index in indices}
        stored = set(zip(found["layer"], found["index"], strict=True))
        joined = {circuit_id for circuit_ids in found["circuit_ids"] for circuit_id in circuit_ids}
        asked = {circuit.circuit_id for circuit in circuits.circuits if circuit.selects}
        return dg.AssetCheckResult(
            passed=stored == expected and joined == asked == {neuron_set.circuit_id},
            metadata={
                "neurons": len(expected), "stored": len(stored), "circuit": neuron_set.circuit_id,
                "joined_to": ", ".join(sorted(joined)) or "none",
            },
        )  # fmt: skip

    return check
