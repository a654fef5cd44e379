"""The experiment file: what is trained, attributed, asked and selected, checked before anything starts.

Read without importing torch, so that Dagster's definitions load quickly; what only the network itself can tell (that
a layer exists, that the data fit) is checked by `pipelines.feasibility` before the first file is written.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.queries import check_parameters, load_query

SELECTION_COLUMNS = ("layer", "index", "influence")
GIVEN_PARAMETERS = ("graph_id", "run_id", "stage_id")  # filled in by the pipeline where a query declares them
RUN_AFFECTING = ("dataset", "model", "training", "attribution", "queries", "stages")

Target = Annotated[str, Field(pattern=r"^(label|class:\d+)$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Factory(_Section):
    """A built-in name or `package.module:function`, and the arguments to call it with."""

    factory: str
    arguments: dict[str, Any] = {}


class Training(_Section):
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    batch_size: int = Field(default=64, ge=1)
    schedule: Literal["cosine", "constant"] = "cosine"


class Attribution(_Section):
    method: Literal["deeplift", "gradient_times_activation"] = "deeplift"
    baseline: Literal["zeros", "mean"] = "mean"
    samples: int = Field(default=256, ge=1)
    edge_mass: float = Field(default=0.9, gt=0, le=1)
    max_edges_per_neuron: int = Field(default=32, ge=1)


class Question(_Section):
    """A query of `cypher/analysis/`, asked of a stage's last graph of `target`."""

    query: str
    parameters: dict[str, Any] = {}
    target: Target = "label"

    @model_validator(mode="after")
    def query_is_there(self) -> "Question":
        query = load_query(f"analysis/{self.query}")
        check_parameters(query, self.parameters, given=GIVEN_PARAMETERS)
        return self


class Selection(Question):
    """How the neurons of a targeted stage are chosen from the last graph of the stage before."""

    query: str = "neuron_influence"
    policy: str
    budget: float = Field(gt=0, le=1)
    layers: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def query_selects(self) -> "Selection":
        returned = load_query(f"analysis/{self.query}").returns
        missing = [column for column in SELECTION_COLUMNS if column not in returned]
        if missing:
            raise ValueError(f"query {self.query!r} cannot select neurons: it returns no column {', '.join(missing)}")
        return self


class Stage(_Section):
    """A stage: `full` without a selection, `targeted` with one."""

    epochs: int = Field(ge=1)
    learning_rate: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    select: Selection | None = None

    @property
    def kind(self) -> str:
        return "full" if self.select is None else "targeted"


class Experiment(_Section):
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)
    description: str = ""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0,), min_length=1)
    nightly: bool = False
    dataset: Factory
    model: Factory
    training: Training = Training()
    attribution: Attribution = Attribution()
    queries: tuple[Question, ...] = ()
    stages: tuple[Stage, ...] = Field(min_length=1)

    @field_validator("seeds")
    @classmethod
    def seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds):
            raise ValueError(f"the seeds {list(seeds)} are not all different")
        return seeds

    @field_validator("stages")
    @classmethod
    def first_stage_is_full(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        if stages[0].select is not None:
            raise ValueError("the first stage has no graph before it to select from; leave out its 'select'")
        for position, stage in enumerate(stages[1:], start=2):
            if stage.select is None:
                raise ValueError(f"stage {position} needs a 'select' that says which neurons it trains")
        return stages

    @property
    def config_hash(self) -> str:
        """Of everything that changes what a run of one seed gives."""
        content = self.model_dump(mode="json", include=set(RUN_AFFECTING))
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    def run_id(self, seed: int) -> str:
        """The same configuration and seed are the same run: repeating it replaces it."""
        return f"{self.name}-seed-{seed}-{self.config_hash}"

    def questions_of_stage(self, position: int) -> list[Question]:
        """What is asked of the last graph of stage `position` (from 1): the experiment's queries, then the next
        stage's selection."""
        questions = list(self.queries)
        if position < len(self.stages):
            selection = self.stages[position].select
            assert selection is not None
            questions.append(selection)
        return questions


def experiments_folder() -> Path:
    """Where experiments are read from: `ATTRGRAPH_EXPERIMENTS` (a folder, or one file), or `./experiments`."""
    return Path(os.environ.get("ATTRGRAPH_EXPERIMENTS", "experiments"))


def load_experiments(folder: Path | None = None) -> dict[str, Experiment]:
    """Every experiment of a folder by name, or the one of a file.

    AttrGraphError names the first that is wrong, or two of one name.
    """
    folder = folder or experiments_folder()
    experiments: dict[str, Experiment] = {}
    for path in [folder] if folder.is_file() else sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        experiment = load_experiment(path)
        if experiment.name in experiments:
            raise AttrGraphError(f"{path}: an experiment named {experiment.name!r} is there already; rename one")
        experiments[experiment.name] = experiment
    if not experiments:
        raise AttrGraphError(
            f"no experiment files (*.yaml) in {folder.absolute()}; set ATTRGRAPH_EXPERIMENTS to their folder"
        )
    return experiments


def load_experiment(path: Path) -> Experiment:
    """Read and check one experiment file. Raises AttrGraphError with `file:line: key: what is wrong`, one a line."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise AttrGraphError(f"cannot read the experiment file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise AttrGraphError(f"{path} is not a text file in UTF-8") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_repeated_keys(root, path)
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise AttrGraphError(_yaml_message(path, error)) from error
    if not isinstance(content, dict):
        raise AttrGraphError(f"{path}:1: an experiment is a mapping of keys such as name, dataset, model, stages")
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        raise AttrGraphError("\n".join(_describe(problem, root, path) for problem in error.errors())) from error


def _yaml_message(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {problem}"


def _refuse_repeated_keys(node: yaml.Node | None, path: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise AttrGraphError(f"{path}:{key.start_mark.line + 1}: key {key.value!r} is given twice")
            seen.add(key.value)
            _refuse_repeated_keys(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_repeated_keys(value, path)


def _describe(problem: Any, root: yaml.Node | None, path: Path) -> str:
    location = [part for part in problem["loc"]]
    line = _line_of(root, location)
    key = ".".join(str(part) for part in location) or "experiment"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        message = f"unknown key; known here are {', '.join(_known_keys(location))}"
    elif problem["type"] not in ("missing", "value_error"):
        message = f"{message}, not {problem['input']!r}"
    return f"{path}:{line}: {key}: {message}"


def _line_of(node: yaml.Node | None, location: list[Any]) -> int:
    """Line of the key that a path of keys and positions leads to, or of the last part of it that is there."""
    line = 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(part)]
            if not found:
                return line
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def _known_keys(location: list[Any]) -> list[str]:
    sections: dict[str, type[BaseModel]] = {
        "dataset": Factory, "model": Factory, "training": Training, "attribution": Attribution,
        "queries": Question, "stages": Stage, "select": Selection,
    }  # fmt: skip
    named = [part for part in location[:-1] if part in sections]
    return list((sections[named[-1]] if named else Experiment).model_fields)
