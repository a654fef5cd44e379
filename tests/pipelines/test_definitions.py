"""What Dagster sees: assets, what they read, their checks; loaded quickly and quietly."""

import subprocess
import sys
from pathlib import Path

from pipelines.assets.study import parse_cell_key
from pipelines.definitions import defs
from pipelines.partitions import STAGE_COUNT

GRAPH = defs.resolve_asset_graph()


def names(keys):
    return {key.to_user_string() for key in keys}


def test_the_loop_is_unrolled():
    stages = range(1, STAGE_COUNT + 1)
    expected = {"dataset": set(), "seed_comparison": {f"stage_{stage}_circuits" for stage in stages}}
    expected |= {"study_cell": set(), "study_report": {"study_cell"}}
    for stage in stages:
        checkpoints = {"dataset"}
        if stage > 1:
            checkpoints |= {f"stage_{stage - 1}_checkpoints", f"stage_{stage - 1}_neuron_set"}
        expected |= {
            f"stage_{stage}_checkpoints": checkpoints,
            f"stage_{stage}_attribution_graphs": {"dataset", f"stage_{stage}_checkpoints"},
            f"stage_{stage}_circuits": {f"stage_{stage}_attribution_graphs"},
        }
        if stage < STAGE_COUNT:
            # The graphs, because what they took is part of what choosing takes.
            expected[f"stage_{stage}_neuron_set"] = {
                "dataset", f"stage_{stage}_checkpoints", f"stage_{stage}_attribution_graphs", f"stage_{stage}_circuits",
            }  # fmt: skip
    found = {key.to_user_string(): names(GRAPH.get(key).parent_keys) for key in GRAPH.get_all_asset_keys()}
    assert STAGE_COUNT >= 2
    assert found == expected


def test_checks_of_a_stage():
    checks = {(key.asset_key.to_user_string(), key.name) for key in GRAPH.asset_check_keys}
    of_second = {(asset, name) for asset, name in checks if asset.startswith("stage_2_")}
    expected = {
        ("stage_2_checkpoints", "weights_are_finite"), ("stage_2_checkpoints", "only_target_neurons_moved"),
        ("stage_2_attribution_graphs", "every_epoch_has_a_graph"),
        ("stage_2_attribution_graphs", "attributions_are_complete"),
        ("stage_2_attribution_graphs", "attributions_match_captum"),
        ("stage_2_attribution_graphs", "edges_hold_their_mass"),
        ("stage_2_circuits", "circuit_is_faithful"), ("stage_2_circuits", "circuit_is_complete"),
        ("stage_2_circuits", "circuit_is_minimal"), ("stage_2_circuits", "edges_agree_with_ablation"),
        ("stage_2_circuits", "strongest_edges_are_faithful"), ("stage_2_circuits", "circuit_is_stable"),
    }  # fmt: skip
    if STAGE_COUNT > 2:
        expected.add(("stage_2_neuron_set", "neuron_set_exists_in_graph"))
    assert of_second == expected
    assert ("stage_1_checkpoints", "only_target_neurons_moved") not in checks


def test_jobs_run_one_partition_in_this_process():
    job = defs.resolve_job_def("targeted_training")
    assert job.partitions_def is not None
    assert list(job.partitions_def.get_partition_keys()) == ["digits-seed-0", "digits_cnn-seed-0"]
    assert job.executor_def.name == "in_process"
    assert {hook.name for hook in job.hook_defs} == {"run_has_failed"}
    assert not names(job.asset_layer.selected_asset_keys) & {"study_cell", "study_report", "seed_comparison"}


def test_every_study_is_there_cell_by_cell():
    cells = defs.resolve_job_def("study_cells").partitions_def.get_partition_keys()
    assert set(defs.resolve_job_def("study_reports").partitions_def.get_partition_keys()) == {
        path.stem for path in (Path(__file__).parents[2] / "studies").glob("*.yaml")
    }
    assert "efficiency-digits-top_influence-seed-9" in cells
    assert parse_cell_key("efficiency-digits-top_influence-seed-9") == ("efficiency", "digits", "top_influence", 9)


def test_definitions_load_without_torch_and_without_a_word():
    script = (
        "import sys, pipelines.definitions\n"
        "assert not {'torch', 'captum', 'neo4j', 'sklearn'} & set(sys.modules), 'definitions import heavy libraries'"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
