"""Records as JSON files in the run's folder, found again by any later process."""

from typing import Any

import dagster as dg
from pydantic import BaseModel

from attrgraph_core.errors import AttrGraphError
from pipelines.partitions import experiment_and_seed
from pipelines.run_folder import record_path, write_atomically


class RecordIOManager(dg.ConfigurableIOManager):
    """Keeps what an asset returns, a `Record`, beside the weights of its run."""

    def handle_output(self, context: dg.OutputContext, obj: BaseModel) -> None:
        path = record_path(*experiment_and_seed(context.partition_key), context.asset_key.path[-1])
        write_atomically(path, obj.model_dump_json(indent=1))

    def load_input(self, context: dg.InputContext) -> Any:
        asset = context.asset_key.path[-1]
        path = record_path(*experiment_and_seed(context.partition_key), asset)
        if not path.exists():
            raise AttrGraphError(f"{asset} of {context.partition_key} is not there ({path}); materialise it first")
        record_type = context.dagster_type.typing_type
        return record_type.model_validate_json(path.read_text(encoding="utf-8"))
