"""Everything Dagster knows of: a table of contents."""

import dagster as dg

from pipelines.assets.dataset import dataset
from pipelines.assets.report import seed_comparison
from pipelines.assets.stages import stage_assets
from pipelines.assets.study import study_assets
from pipelines.checks import stage_checks
from pipelines.io_managers import RecordIOManager
from pipelines.jobs import compare_seeds, study_jobs, targeted_training
from pipelines.partitions import STAGE_COUNT
from pipelines.recipe_jobs import diagnosis, stream, surgery
from pipelines.resources import DeviceResource, GraphStoreResource
from pipelines.retention import retention, weekly_retention
from pipelines.schedules import nightly
from pipelines.sensors import automation, dataset_changed, unrun_partitions
from pipelines.study_file import load_studies

POSITIONS = range(1, STAGE_COUNT + 1)
STUDIES = load_studies()

defs = dg.Definitions(
    assets=dg.with_source_code_references(
        [
            dataset,
            *(asset for position in POSITIONS for asset in stage_assets(position, position == STAGE_COUNT)),
            seed_comparison,
            *study_assets(STUDIES),
        ]
    ),
    asset_checks=[check for position in POSITIONS for check in stage_checks(position, position == STAGE_COUNT)],
    jobs=[targeted_training, compare_seeds, retention, diagnosis, surgery, stream, *study_jobs(STUDIES)],
    schedules=[nightly, weekly_retention],
    sensors=[unrun_partitions, dataset_changed, automation],
    resources={
        "records": RecordIOManager(),
        "graph_store": GraphStoreResource(),
        "device": DeviceResource(),
    },
    executor=dg.in_process_executor,
)
