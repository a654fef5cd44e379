"""The questions of studies by name; each is a class in a file of its own, imported when it is asked."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.questions.question import Question

QUESTIONS = {
    "efficiency": "pipelines.questions.efficiency:Efficiency",
    "label_noise": "pipelines.questions.label_noise:LabelNoise",
    "robustness": "pipelines.questions.robustness:Robustness",
    "repair": "pipelines.questions.repair:Repair",
    "continual": "pipelines.questions.continual:Continual",
    "forgetting": "pipelines.questions.forgetting:Forgetting",
    "interpretability": "pipelines.questions.interpretability:Interpretability",
    "limits": "pipelines.questions.limits:Limits",
}


def question_of(name: str) -> "Question":
    """The question of this name, or of an import path `package.module:Class`."""
    from attrgraph_core.import_path import load_object

    found: Question = load_object(QUESTIONS.get(name, name))()
    return found
