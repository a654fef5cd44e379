"""The Dagster instance: where runs, events and schedules are remembered."""

import os
import shutil
from pathlib import Path

DEFAULT_HOME = ".dagster_home"


def prepare_dagster_home() -> Path:
    """The folder of the instance, absolute, with a configuration; exported as DAGSTER_HOME.

    That of DAGSTER_HOME, or `.dagster_home` in the working directory. Without an absolute one Dagster forgets all
    history when it ends, and says nothing.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or DEFAULT_HOME).absolute()
    home.mkdir(parents=True, exist_ok=True)
    configuration = home / "dagster.yaml"
    if not configuration.exists():
        shutil.copyfile(Path(__file__).with_name("dagster.yaml"), configuration)
    os.environ["DAGSTER_HOME"] = str(home)
    return home
