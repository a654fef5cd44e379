"""The data of a run."""

import dagster as dg

from pipelines.failures import failures_named
from pipelines.feasibility import check_feasible
from pipelines.partitions import experiment_and_seed, run_partitions
from pipelines.pictures import table_metadata
from pipelines.records import DatasetRecord
from pipelines.run_lock import run_lock
from pipelines.run_tag import tag_run


@dg.asset(
    group_name="data",
    kinds={"pandas"},
    owners=["team:attrgraph"],
    partitions_def=run_partitions,
    io_manager_key="records",
    code_version="1",
)
def dataset(context: dg.AssetExecutionContext) -> dg.Output[DatasetRecord]:
    """The samples a run trains and is tested on, by their fingerprint; the experiment is checked against them."""
    import pandas as pd

    experiment, seed = experiment_and_seed(context.partition_key)
    tag_run(context, experiment.run_id(seed))
    with failures_named(), run_lock(experiment.run_id(seed)):
        data, _ = check_feasible(experiment)
    record = DatasetRecord(
        run_id=experiment.run_id(seed),
        name=data.name,
        fingerprint=data.fingerprint,
        train_count=len(data.train_labels),
        test_count=len(data.test_labels),
        class_count=data.class_count,
        input_shape=tuple(data.input_shape),
    )
    counts = pd.DataFrame(
        {
            "class": range(data.class_count),
            "train": data.train_labels.bincount(minlength=data.class_count).tolist(),
            "test": data.test_labels.bincount(minlength=data.class_count).tolist(),
        }
    )
    return dg.Output(
        record,
        metadata={
            "run_id": record.run_id,
            "train_count": record.train_count,
            "test_count": record.test_count,
            "fingerprint": record.fingerprint,
            "samples_of_each_class": table_metadata(counts),
        },
        data_version=dg.DataVersion(data.fingerprint),
    )
