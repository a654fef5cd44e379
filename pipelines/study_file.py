"""The study file: a question, and the grid of methods, data and seeds that it is asked of.

Read without importing torch, like an experiment file. What a method and the options of a question may say is the
question's own matter, and checked by `pipelines.questions`.
"""

import os
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field, field_validator, model_validator

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.study.seeds import FEWEST_SEEDS
from pipelines.experiments import Factory, Training
from pipelines.keys_file import KeysFile, Section, read_keys_file

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
Seeds = Annotated[tuple[Annotated[int, Field(ge=0, lt=2**63)], ...], Field(min_length=1, strict=False)]
Grid = dict[Name, Annotated[tuple[Any, ...], Field(min_length=1, strict=False)]]


class StudyDataKeys(Section):
    """A data set and the network that learns it."""

    dataset: Factory
    model: Factory


class QuickKeys(Section):
    """What the quick form has instead: fewer data, methods, seeds and settings. It makes no claims."""

    data: tuple[Name, ...] | None = Field(default=None, min_length=1, strict=False)
    methods: tuple[Name, ...] | None = Field(default=None, min_length=2, strict=False)
    seeds: Seeds = (0, 1)
    tuning_seeds: Seeds = (1000,)
    tune: Grid = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)


class Study(KeysFile):
    """One question, asked of every method, data set and seed.

    `tune` is the grid that validation chooses settings from, over `tuning_seeds`, method by method; a method's own
    `tune` goes before it. Every other method is compared with `reference`. With `graphs` each run of the store has the
    attribution graph of its network.
    """

    article: ClassVar[str] = "a"
    file_kind: ClassVar[str] = "study"
    first_keys: ClassVar[str] = "name, question, seeds, data, methods"
    sections: ClassVar[dict[str, type[BaseModel]]] = {
        "dataset": Factory, "model": Factory, "training": Training, "data": StudyDataKeys, "quick": QuickKeys
    }  # fmt: skip

    name: Name
    question: str
    description: str = ""
    seeds: Seeds
    tuning_seeds: Seeds
    data: dict[Name, StudyDataKeys] = Field(min_length=1)
    training: Training = Training()
    options: dict[str, Any] = Field(default_factory=dict)
    tune: Grid = Field(default_factory=dict)
    methods: dict[Name, dict[str, Any]] = Field(min_length=2)
    reference: Name
    graphs: bool = False
    quick: QuickKeys = QuickKeys()
    is_quick: bool = Field(default=False, exclude=True)
    left_out: tuple[Name, ...] = Field(default=(), exclude=True)  # data sets of the file, by `of_data`

    @field_validator("question")
    @classmethod
    def question_is_known(cls, name: str) -> str:
        from pipelines.questions import QUESTIONS

        if name not in QUESTIONS and ":" not in name:
            raise ValueError(f"there is no question {name!r}; known are {', '.join(QUESTIONS)}, package.module:Class")
        return name

    @model_validator(mode="after")
    def names_and_seeds_fit(self) -> "Study":
        if len(set(self.seeds)) < FEWEST_SEEDS and not self.is_quick:
            raise ValueError(
                f"a study has {FEWEST_SEEDS} different seeds at least, and this one {len(set(self.seeds))}; fewer are "
                "for its 'quick' form, which makes no claims"
            )
        for seeds, tuning in ((self.seeds, self.tuning_seeds), (self.quick.seeds, self.quick.tuning_seeds)):
            shared = sorted(set(seeds) & set(tuning))
            if shared:
                raise ValueError(f"seed {shared[0]} is for the test and for choosing settings; take different ones")
        if self.reference not in self.methods:
            raise ValueError(f"reference {self.reference!r} is none of the methods {', '.join(self.methods)}")
        for key, known in (("data", self.data), ("methods", self.methods)):
            unknown = [name for name in getattr(self.quick, key) or () if name not in known]
            if unknown:
                raise ValueError(f"the quick form has {key} {unknown[0]!r}; known are {', '.join(known)}")
        if self.quick.methods is not None and self.reference not in self.quick.methods:
            raise ValueError(f"the quick form needs the reference {self.reference!r} among its methods")
        return self

    def as_quick(self) -> "Study":
        """The quick form."""
        quick = self.quick
        given = {name: getattr(self, name) for name in Study.model_fields}
        given["data"] = {name: self.data[name] for name in quick.data or self.data}
        given["methods"] = {name: self.methods[name] for name in quick.methods or self.methods}
        for name, method in given["methods"].items():
            # A method's own grid shrinks to its first value.
            own = {key: tuple(values)[:1] for key, values in method.get("tune", {}).items()}
            given["methods"][name] = {**method, **({"tune": own} if own else {})}
        given |= {"seeds": quick.seeds, "tuning_seeds": quick.tuning_seeds, "is_quick": True}
        given |= {"tune": {**self.tune, **quick.tune}, "options": {**self.options, **quick.options}}
        return self._changed(given)

    def of_data(self, names: list[str]) -> "Study":
        """The study of some of its data sets. Raises AttrGraphError for one that it does not have."""
        unknown = [name for name in names if name not in self.data]
        if unknown:
            raise AttrGraphError(f"study {self.name!r} has no data {unknown[0]!r}; it has {', '.join(self.data)}")
        given = {name: getattr(self, name) for name in Study.model_fields}
        kept = {name: self.data[name] for name in dict.fromkeys(names)}
        given["left_out"] = (*self.left_out, *(name for name in self.data if name not in kept))
        return self._changed({**given, "data": kept, "quick": self.quick.model_copy(update={"data": None})})

    def _changed(self, given: dict[str, Any]) -> "Study":
        form = Study.model_validate(given)
        form._source = self._source
        return form

    def grid_of(self, method: str) -> dict[str, tuple[Any, ...]]:
        """What validation chooses from."""
        own = {name: tuple(values) for name, values in self.methods[method].get("tune", {}).items()}
        return {**self.tune, **own}


def study_files() -> list[Path]:
    """The files that Dagster finds: of folder `ATTRGRAPH_STUDIES`, or `./studies`; none where that is empty."""
    folder = os.environ.get("ATTRGRAPH_STUDIES", "studies")
    return sorted([*Path(folder).glob("*.yaml"), *Path(folder).glob("*.yml")]) if folder else []


def load_studies(paths: "list[Path] | None" = None) -> dict[str, Study]:
    """Studies by name: of some files, or of `study_files`. Raises AttrGraphError for two of one name."""
    studies: dict[str, Study] = {}
    for path in study_files() if paths is None else paths:
        study = load_study(path)
        if study.name in studies:
            first = studies[study.name].where("name")
            raise AttrGraphError(f"{study.where('name')}: {study.name!r} is taken by {first}; rename one")
        studies[study.name] = study
    return studies


def load_study(path: Path) -> Study:
    """Read and check one study file. Raises AttrGraphError with `file:line: key: what is wrong`, one a line."""
    study = read_keys_file(path, Study)
    if "is_quick" in study.model_fields_set:
        raise AttrGraphError(f"{study.where('is_quick')}: no key of a file; --quick asks for the quick form")
    return study
