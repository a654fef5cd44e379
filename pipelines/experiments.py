"""The experiment file: what is trained, attributed, asked and selected, checked before anything starts.

Read without importing torch, so that Dagster's definitions load quickly; what only the network itself can tell (that
a layer exists, that the data fit) is checked by `pipelines.feasibility` before the first file is written.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from attrgraph_core.attribution.properties import PROPERTIES
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.peers.stage_kinds import STAGE_KINDS
from attrgraph_core.store.queries import CypherQuery, check_parameters, load_query
from attrgraph_core.targeting.policy_spec import policy_name
from pipelines.keys_file import LONG, SHORT, KeysFile, Section, read_keys_file

if TYPE_CHECKING:
    from attrgraph_core.targeting.budget import Budget

NEURON_COLUMNS = (  # any of these makes a circuit of what a query returns
    {"layer", "index"},
    {"neurons"},
    {"source_layer", "source_index", "target_layer", "target_index"},
)
SELECTION_COLUMNS = ("layer", "index", "influence")
GIVEN_PARAMETERS = ("graph_id", "run_id", "stage_id")  # filled in by the pipeline where a query declares them
RUN_AFFECTING = ("dataset", "model", "training", "attribution", "queries", "stages")

Target = Annotated[str, Field(pattern=r"^(label|class:(0|[1-9][0-9]*))$")]


class Factory(Section):
    """A built-in name or `package.module:function`, and the arguments to call it with."""

    factory: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class Training(Section):
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    batch_size: int = Field(default=64, ge=1)
    schedule: Literal["cosine", "constant"] = "cosine"


class Attribution(Section):
    method: str = "deeplift"
    baseline: Literal["zeros", "mean"] = "mean"
    samples: int = Field(default=256, ge=1)
    edge_mass: float = Field(default=0.9, gt=0, le=1)
    max_edges_per_neuron: int = Field(default=32, ge=1)

    @field_validator("method")
    @classmethod
    def method_makes_edges_by_itself(cls, name: str) -> str:
        known = [row.name for row in PROPERTIES if row.makes_edges and not row.needs_background]
        found = next((row for row in PROPERTIES if row.name == name), None)
        if name in known:
            return name
        listed = f"methods of experiments are {', '.join(known)}"
        if found is None:
            raise ValueError(f"there is no attribution method {name!r}; {listed}")
        lacks = "needs a background set" if found.makes_edges else "gives no edges, and stages are chosen by edges"
        raise ValueError(f"{name!r} {lacks}; {listed}. From Python: attribute(model, inputs, labels, method={name!r})")


class Evidence(Section):
    """How circuits are measured by exact ablation: on how many held-out samples, and what stands in for the rest."""

    samples: int = Field(default=256, ge=2)
    ablation: Literal["zero", "mean", "resample"] = "mean"


class Question(Section):
    """A query of `cypher/analysis/` that returns neurons, asked of a stage's last graph of `target`."""

    query: str
    parameters: dict[str, Any] = Field(default={}, validate_default=True)
    target: Target = "label"

    @field_validator("query")
    @classmethod
    def query_returns_neurons(cls, name: str) -> str:
        returned = _analysis_query(name).returns
        if not any(columns <= returned.keys() for columns in NEURON_COLUMNS):
            raise ValueError(
                f"query {name!r} returns no neurons to make a circuit of: it needs the columns layer and index, "
                f"neurons, or those of edges, and has {', '.join(returned)}"
            )
        return name

    @field_validator("parameters")
    @classmethod
    def query_takes_parameters(cls, parameters: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if "query" not in info.data:  # it is wrong itself
            return parameters
        given = [name for name in GIVEN_PARAMETERS if name in parameters]
        if given:
            raise ValueError(f"{given[0]!r} is filled in by the run, from its graph of 'target'; leave it out")
        try:
            check_parameters(_analysis_query(info.data["query"]), parameters, given=GIVEN_PARAMETERS)
        except AttrGraphError as error:
            raise ValueError(str(error)) from error
        return parameters


class BudgetKeys(Section):
    """The long form of a budget; a number alone is its share of each layer's neurons."""

    share: float = Field(gt=0, le=1)
    of: Literal["neurons", "weights", "flops", "bytes"] = "neurons"
    scope: Literal["layer", "network"] = "layer"
    coverage: int | None = Field(default=None, ge=1)  # stages in which every neuron trains once


BudgetValue = Annotated[
    Annotated[Annotated[float, Field(gt=0, le=1)], Tag(SHORT)] | Annotated[BudgetKeys, Tag(LONG)],
    Discriminator(lambda value: LONG if isinstance(value, dict | BudgetKeys) else SHORT),
]


class Selection(Question):
    """How the neurons of a targeted stage are chosen from the last graph of the stage before."""

    query: str = "neuron_influence"
    policy: str | dict[str, Any]
    budget: BudgetValue
    layers: tuple[str, ...] | None = Field(default=None, min_length=1, strict=False)

    @field_validator("policy", mode="before")
    @classmethod
    def policy_is_a_name_or_a_combination(cls, policy: object) -> object:
        try:
            policy_name(policy)  # type: ignore[arg-type]
        except AttrGraphError as error:
            raise ValueError(str(error)) from error
        return policy

    @field_validator("policy")
    @classmethod
    def query_selects(cls, policy: str | dict[str, Any], info: ValidationInfo) -> str | dict[str, Any]:
        if policy == "query" or "query" not in info.data:  # it takes any rows that name neurons, as every question does
            return policy
        name = info.data["query"]
        missing = [column for column in SELECTION_COLUMNS if column not in _analysis_query(name).returns]
        if missing:
            raise ValueError(
                f"query {name!r} returns no column {', '.join(missing)} to select neurons by; ask another one, or take "
                "its rows in their order by policy: query"
            )
        return policy

    @property
    def whole_budget(self) -> "Budget":
        """The budget in its long form."""
        from attrgraph_core.targeting.budget import Budget  # with pandas, which definitions do not wait for

        if isinstance(self.budget, BudgetKeys):
            return Budget(**self.budget.model_dump())
        return Budget(self.budget)


def _analysis_query(name: str) -> CypherQuery:
    """A query of `cypher/analysis/`; ValueError, which pydantic gathers, where there is none."""
    try:
        return load_query(f"analysis/{name}")
    except AttrGraphError as error:
        raise ValueError(str(error)) from error


class CircuitIsStable(Section):
    """What is compared from epoch to epoch, and how alike it has to be for how many."""

    similarity: float = Field(default=0.9, gt=0, le=1)
    epochs: int = Field(default=2, ge=1)
    of: Literal["edges", "neurons", "probes"] = "edges"
    top_k: int = Field(default=32, ge=1)


class StopWhen(Section):
    circuit_is_stable: CircuitIsStable


LearningRate = Annotated[
    Annotated[Annotated[float, Field(gt=0, allow_inf_nan=False)], Tag(SHORT)] | Annotated[Literal["scaled"], Tag(LONG)],
    Discriminator(lambda value: LONG if isinstance(value, str) else SHORT),
]


class Stage(Section):
    """A stage of one of `STAGE_KINDS`; not named, it is `targeted` with a selection and `full` without one."""

    kind: str = "full"
    epochs: int = Field(ge=1)
    learning_rate: LearningRate | None = None
    select: Selection | None = None
    layers: int | None = Field(default=None, ge=1)
    share: float | None = Field(default=None, gt=0, le=1)
    circuit: Question | None = None
    stop_when: StopWhen | None = None

    @model_validator(mode="before")
    @classmethod
    def with_a_selection_it_is_targeted(cls, given: Any) -> Any:
        if isinstance(given, dict) and "kind" not in given and given.get("select") is not None:
            return {"kind": "targeted", **given}
        return given

    @field_validator("kind")
    @classmethod
    def kind_is_known(cls, kind: str) -> str:
        if kind not in STAGE_KINDS:
            raise ValueError(f"there is no kind of stage {kind!r}; known are {', '.join(STAGE_KINDS)}")
        return kind

    @model_validator(mode="after")
    def options_are_those_of_its_kind(self) -> "Stage":
        needed = STAGE_KINDS[self.kind].options
        for option in ("select", "layers", "share", "circuit"):
            is_given = getattr(self, option) is not None
            if option in needed and not is_given:
                raise ValueError(f"a stage of kind {self.kind!r} needs {option!r}: {STAGE_KINDS[self.kind].meaning}")
            if is_given and option not in needed:
                kinds = [name for name, kind in STAGE_KINDS.items() if option in kind.options]
                raise ValueError(f"{option!r} is for stages of kind {', '.join(kinds)}, not {self.kind!r}")
        return self


class ExperimentKeys(KeysFile):
    """What an experiment and a comparison both say."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)
    description: str = ""
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**63)], ...] = Field(default=(0,), min_length=1, strict=False)
    nightly: bool = False
    dataset: Factory
    model: Factory
    training: Training = Training()
    attribution: Attribution = Attribution()
    evidence: Evidence = Evidence()

    first_keys: ClassVar[str] = "name, dataset, model, stages"
    sections: ClassVar[dict[str, type[BaseModel]]] = {
        "dataset": Factory, "model": Factory, "training": Training, "attribution": Attribution,
        "evidence": Evidence, "queries": Question, "circuit": Question, "stages": Stage, "variants": Stage,
        "select": Selection, "budget": BudgetKeys, "stop_when": StopWhen,
        "circuit_is_stable": CircuitIsStable,
    }  # fmt: skip

    @field_validator("seeds")
    @classmethod
    def seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds):
            raise ValueError(f"the seeds {list(seeds)} are not all different")
        return seeds

    def chosen_seeds(self, asked: list[int] | None) -> tuple[int, ...]:
        """All seeds, or those that were asked for, which must be among them."""
        unknown = [seed for seed in asked or [] if seed not in self.seeds]
        if unknown:
            raise AttrGraphError(
                f"seed {unknown[0]} is not one of experiment {self.name!r}; its seeds are {list(self.seeds)}"
            )
        return tuple(dict.fromkeys(asked)) if asked else self.seeds


class Experiment(ExperimentKeys):
    queries: tuple[Question, ...] = Field(default=(), strict=False)
    stages: tuple[Stage, ...] = Field(min_length=1, strict=False)

    @field_validator("stages")
    @classmethod
    def stages_follow_each_other(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        return check_stages(stages)

    @property
    def config_hash(self) -> str:
        """Of everything that changes what a run of one seed gives."""
        return hashlib.sha256(json.dumps(self.run_configuration, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def run_configuration(self) -> dict[str, Any]:
        """Everything that changes what a run of one seed gives, as JSON has it."""
        return self.model_dump(mode="json", include=set(RUN_AFFECTING))

    def run_id(self, seed: int) -> str:
        """The same configuration and seed are the same run: repeating it replaces it."""
        return f"{self.name}-seed-{seed}-{self.config_hash}"

    def questions_of_stage(self, position: int) -> list[Question]:
        """What is asked of the last graph of stage `position` (from 1): the experiment's queries, then the next
        stage's selection."""
        questions = list(self.queries)
        if position < len(self.stages):
            selection = self.stages[position].select
            circuit = self.stages[position].circuit
            questions += [question for question in (selection, circuit) if question is not None]
        return questions


def check_stages(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """Raises ValueError, which pydantic gathers, for stages that cannot follow each other."""
    if stages[0].select is not None:
        raise ValueError("the first stage has no graph before it to select from; leave out its 'select'")
    if stages[0].circuit is not None:
        raise ValueError(
            f"the first stage has no graph before it to find a circuit in; it cannot be {stages[0].kind!r}"
        )
    for position, stage in enumerate(stages[1:], start=2):
        if "kind" not in stage.model_fields_set:
            raise ValueError(
                f"stage {position} needs a 'select' that says which neurons it trains, or a 'kind' "
                f"({', '.join(STAGE_KINDS)})"
            )
        if STAGE_KINDS[stage.kind].only_first:
            raise ValueError(f"stage {position} is of kind {stage.kind!r}, which only the first stage can be")
    return stages


def experiments_folder() -> Path:
    """Where experiments are read from: `ATTRGRAPH_EXPERIMENTS` (a folder, or one file), or `./experiments`."""
    return Path(os.environ.get("ATTRGRAPH_EXPERIMENTS", "experiments"))


def load_experiments(folder: Path | None = None) -> dict[str, Experiment]:
    """Every experiment of a folder by name, or the one of a file.

    AttrGraphError names the first that is wrong, or two of one name.
    """
    folder = folder or experiments_folder()
    experiments: dict[str, Experiment] = {}
    for path in [folder] if folder.is_file() else experiment_files(folder):
        experiment = load_experiment(path)
        if experiment.name in experiments:
            first = experiments[experiment.name].where("name")
            raise AttrGraphError(f"{experiment.where('name')}: {experiment.name!r} is taken by {first}; rename one")
        experiments[experiment.name] = experiment
    if not experiments:
        raise AttrGraphError(
            f"no experiment files (*.yaml) in {folder.absolute()}; set ATTRGRAPH_EXPERIMENTS to their folder"
        )
    return experiments


def experiment_files(folder: Path) -> list[Path]:
    """The files of a folder that are experiments, and not comparisons."""
    return [path for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]) if not is_comparison(path)]


def is_comparison(path: Path) -> bool:
    """Whether a file has variants rather than stages; False where it cannot be read, which loading it says."""
    try:
        return any(line.startswith("variants:") for line in path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        return False


def load_experiment(path: Path) -> Experiment:
    """Read and check one experiment file. Raises AttrGraphError with `file:line: key: what is wrong`, one a line."""
    if is_comparison(path):
        raise AttrGraphError(f"{path} is a comparison of variants, and no experiment; `attrgraph run {path}` runs it")
    return read_keys_file(path, Experiment)
