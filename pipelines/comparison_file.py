"""A comparison: ways of training one network, side by side, in one file. Read like an experiment file.

It has an experiment's keys but for `stages`, and `variants`: a name and stages each, of which one may be repeated.
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, field_validator

from pipelines.experiments import Experiment, ExperimentKeys, Stage, check_stages
from pipelines.keys_file import read_keys_file

ONLY_QUERY = "neuron_influence"


class RepeatedStage(Stage):
    """A stage that comes `repeat` times in a row, each time with a choice of its own."""

    repeat: int = Field(default=1, ge=1)

    @property
    def as_stages(self) -> list[Stage]:
        given = {name: getattr(self, name) for name in self.model_fields_set if name != "repeat"}
        return [Stage.model_validate(given)] * self.repeat


class Comparison(ExperimentKeys):
    """Variants by name; all have the same data, network, seeds and settings, and are trained by the same code."""

    variants: dict[str, tuple[RepeatedStage, ...]] = Field(min_length=2)

    @field_validator("variants", mode="before")
    @classmethod
    def lists_are_tuples(cls, variants: object) -> object:
        if not isinstance(variants, dict):
            return variants
        return {name: tuple(stages) if isinstance(stages, list) else stages for name, stages in variants.items()}

    @field_validator("variants")
    @classmethod
    def stages_can_be_compared(
        cls, variants: dict[str, tuple[RepeatedStage, ...]]
    ) -> dict[str, tuple[RepeatedStage, ...]]:
        for name, stages in variants.items():
            if not stages:
                raise ValueError(f"variant {name!r} has no stages")
            try:
                check_stages(stages)
                check_needs_no_store(stages)
            except ValueError as error:
                raise ValueError(f"variant {name!r}: {error}") from error
        return variants

    def experiment_of(self, variant: str) -> Experiment:
        """The variant as an experiment of its own."""
        stages = tuple(stage for repeated in self.variants[variant] for stage in repeated.as_stages)
        given = {name: getattr(self, name) for name in ExperimentKeys.model_fields}
        return Experiment.model_validate({**given, "stages": stages})


def check_needs_no_store(stages: Sequence[Stage]) -> None:
    """Raises ValueError for a stage that asks a store of graphs, which comparisons and studies train without."""
    for stage in stages:
        if stage.circuit is not None:
            raise ValueError(
                f"a stage of kind {stage.kind!r} asks query {stage.circuit.query!r} of a graph in Neo4j; comparisons "
                "and studies keep none: make it an experiment of its own"
            )
        if stage.select is not None and (stage.select.query, stage.select.target) != (ONLY_QUERY, "label"):
            raise ValueError(
                f"it asks query {stage.select.query!r} of {stage.select.target!r}; comparisons and studies keep no "
                f"graphs in Neo4j and can ask {ONLY_QUERY!r} of 'label' alone: leave out 'query' and 'target', or make "
                "it an experiment of its own"
            )


def load_comparison(path: Path) -> Comparison:
    """Read and check one comparison file. Raises AttrGraphError with `file:line: key: what is wrong`, one a line."""
    return read_keys_file(path, Comparison)
