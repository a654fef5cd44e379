"""The questions of studies by name; each is a class in a file of its own, imported when it is asked."""

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
