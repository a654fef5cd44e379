"""Experiment files that are wrong: each is named by file, line and key, and nothing but the file is read."""

from pathlib import Path

import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.peers.stage_kinds import STAGE_KINDS
from pipelines.experiments import load_experiment, load_experiments

VALID = """\
name: small
seeds: [0, 1]
dataset: {factory: digits}
model: {factory: mlp, arguments: {hidden: [12, 8]}}
training:
  learning_rate: 0.02
attribution:
  samples: 40
queries:
  - query: strongest_paths
    target: class:3
stages:
  - epochs: 2
  - epochs: 1
    select:
      policy: top_influence
      budget: 0.25
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "small.yaml"


def complaint(file: Path, text: str) -> str:
    """What is said of a file with this text, without its folder; nothing may appear beside it."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(AttrGraphError) as raised:
        load_experiment(file)
    assert list(file.parent.iterdir()) == [file]
    return str(raised.value).replace(f"{file.parent}/", "")


def with_line(number: int, line: str) -> str:
    """The valid file with another text in the place of one line."""
    lines = VALID.splitlines()
    lines[number - 1] = line
    return "\n".join(lines)


def test_a_valid_file(file: Path):
    file.write_text(VALID, encoding="utf-8")
    experiment = load_experiment(file)
    assert [stage.kind for stage in experiment.stages] == ["full", "targeted"]
    assert experiment.seeds == (0, 1)
    assert experiment.stages[1].select is not None
    assert experiment.stages[1].select.query == "neuron_influence"
    assert experiment.where("stages", 1, "select", "budget") == f"{file}:17: stages.1.select.budget"


EXPERIMENT_KEYS = "name, description, seeds, nightly, dataset, model, training, attribution, evidence, queries, stages"
SELECTION_KEYS = "query, parameters, target, policy, budget, layers"
STRONGEST_PATHS = (
    "its parameters are graph_id (STRING), top_k (INTEGER, default 10), beam_width (INTEGER, default 200), "
    "output (INTEGER, default null)"
)


@pytest.mark.parametrize(
    ("number", "line", "expected"),
    [
        # unknown keys
        (2, "seed: 0", f"2: seed: unknown key; known here are {EXPERIMENT_KEYS}"),
        (2, "3: 0", f"2: 3: unknown key; known here are {EXPERIMENT_KEYS}"),
        (3, "dataset: {factory: digits, folds: 3}", "3: dataset.folds: unknown key; known here are factory, arguments"),
        (16, "      polcy: random\n      policy: random",
         f"16: stages.1.select.polcy: unknown key; known here are {SELECTION_KEYS}"),
        # keys that are missing or there twice
        (3, "", "1: dataset: this key is required"),
        (16, "", "15: stages.1.select.policy: this key is required"),
        (3, "name: other", "3: key 'name' is given twice"),
        (14, "  - epochs: 1\n    epochs: 2", "15: key 'epochs' is given twice"),
        (12, "stages: [{epochs: 1}]\nstages:", "13: key 'stages' is given twice"),
        (3, "dataset: {factory: digits, ? [a, b] : 1}", "3: a key is text, not a list or a mapping"),
        (3, "? {a: b}\n: 1", "3: a key is text, not a list or a mapping"),
        # values of another type
        (1, "name: 7", "1: name: Input should be a valid string, not 7"),
        (2, "seeds: 0", "2: seeds: Input should be a list, not 0"),
        (2, "seeds: [0, '1']", "2: seeds.1: Input should be a valid integer, not '1'"),
        (2, "seeds: [true]", "2: seeds.0: Input should be a valid integer, not True"),
        (2, 'nightly: "yes"', "2: nightly: Input should be a valid boolean, not 'yes'"),
        (2, "nightly: 1", "2: nightly: Input should be a valid boolean, not 1"),
        (3, "dataset: digits", "3: dataset: Input should be a mapping of keys, not 'digits'"),
        (4, "model: {factory: mlp, arguments: }", "4: model.arguments: Input should be a mapping of keys, not None"),
        (6, "  learning_rate: true", "6: training.learning_rate: Input should be a valid number, not True"),
        (6, "  batch_size: 8.0", "6: training.batch_size: Input should be a valid integer, not 8.0"),
        (8, '  edge_mass: "0.9"', "8: attribution.edge_mass: Input should be a valid number, not '0.9'"),
        (13, "  - epochs: true", "13: stages.0.epochs: Input should be a valid integer, not True"),
        (13, "  - epochs: two", "13: stages.0.epochs: Input should be a valid integer, not 'two'"),
        (17, "      budget: 0.25\n      layers: fc1",
         "18: stages.1.select.layers: Input should be a list, not 'fc1'"),
        # values outside what is allowed
        (1, "name: Small-1", "1: name: String should match pattern '^[a-z][a-z0-9_]*$', not 'Small-1'"),
        (2, "seeds: []", "2: seeds: the list is empty; leave the key out or give one value at least"),
        (2, "seeds: [1, 1]", "2: seeds: the seeds [1, 1] are not all different"),
        (2, "seeds: [-1]", "2: seeds.0: Input should be greater than or equal to 0, not -1"),
        (6, "  learning_rate: 0", "6: training.learning_rate: Input should be greater than 0, not 0"),
        (6, "  learning_rate: .inf", "6: training.learning_rate: Input should be a finite number, not inf"),
        (6, "  optimizer: adam", "6: training.optimizer: Input should be 'adamw' or 'sgd', not 'adam'"),
        (8, "  method: lime",
         "8: attribution.method: 'lime' gives no edges, and stages are chosen by edges; methods of experiments are "
         "deeplift, gradient_times_activation, conductance, lrp_epsilon, lrp_gamma, lrp_composite. From Python: "
         "attribute(model, inputs, labels, method='lime')"),
        (8, "  method: deepshap",
         "8: attribution.method: 'deepshap' needs a background set; methods of experiments are deeplift, "
         "gradient_times_activation, conductance, lrp_epsilon, lrp_gamma, lrp_composite. From Python: "
         "attribute(model, inputs, labels, method='deepshap')"),
        (8, "  method: magic",
         "8: attribution.method: there is no attribution method 'magic'; methods of experiments are deeplift, "
         "gradient_times_activation, conductance, lrp_epsilon, lrp_gamma, lrp_composite"),
        (8, "  baseline: noise", "8: attribution.baseline: Input should be 'zeros' or 'mean', not 'noise'"),
        (8, "  edge_mass: .nan", "8: attribution.edge_mass: Input should be less than or equal to 1, not nan"),
        (8, "  samples: 0", "8: attribution.samples: Input should be greater than or equal to 1, not 0"),
        (13, "  - epochs: 0", "13: stages.0.epochs: Input should be greater than or equal to 1, not 0"),
        (17, "      budget: 0", "17: stages.1.select.budget: Input should be greater than 0, not 0"),
        (17, "      budget: 1.01", "17: stages.1.select.budget: Input should be less than or equal to 1, not 1.01"),
        (17, "      budget: 0.25\n      layers: []",
         "18: stages.1.select.layers: the list is empty; leave the key out or give one value at least"),
        (11, "    target: class:03",
         "11: queries.0.target: String should match pattern '^(label|class:(0|[1-9][0-9]*))$', not 'class:03'"),
        (16, "      policy: {sum: [random, random]}",
         "16: stages.1.select.policy: {'sum': ['random', 'random']} is no policy: write a name, or one of union, "
         "intersection, difference, inverse with policies"),
        (16, "      policy: {union: [random]}",
         "16: stages.1.select.policy: union combines 2 or more policies, not 1: {'union': ['random']}"),
        (17, "      budget: {share: 2}",
         "17: stages.1.select.budget.share: Input should be less than or equal to 1, not 2"),
        (17, "      budget:\n        share: 0.5\n        of: time",
         "19: stages.1.select.budget.of: Input should be 'neurons', 'weights', 'flops' or 'bytes', not 'time'"),
        (17, "      budget: {share: 0.5, covers: 2}",
         "17: stages.1.select.budget.covers: unknown key; known here are share, of, scope, coverage"),
        (17, "      budget: {of: weights}", "17: stages.1.select.budget.share: this key is required"),
        # stages of other kinds
        (13, "  - {kind: haed, epochs: 1}",
         "13: stages.0.kind: there is no kind of stage 'haed'; known are "
         + ", ".join(STAGE_KINDS)),
        (13, "  - {kind: meprop, epochs: 1}",
         "13: stages.0: a stage of kind 'meprop' needs 'share': all weights, by a `share` of each hidden layer's "
         "output gradient"),
        (13, "  - {kind: head, epochs: 1, layers: 2}",
         "13: stages.0: 'layers' is for stages of kind top_layers, random_layers, not 'head'"),
        (13, "  - {epochs: 1, learning_rate: slow}",
         "13: stages.0.learning_rate: Input should be 'scaled', not 'slow'"),
        (13, "  - {epochs: 1, learning_rate: 0}",
         "13: stages.0.learning_rate: Input should be greater than 0, not 0"),
        (13, "  - {epochs: 1, stop_when: {circuit_is_stable: {of: colours}}}",
         "13: stages.0.stop_when.circuit_is_stable.of: Input should be 'edges', 'neurons' or 'probes', not 'colours'"),
        (13, "  - {epochs: 1, stop_when: {loss_is: 0}}",
         "13: stages.0.stop_when.circuit_is_stable: this key is required\n"
         "small.yaml:13: stages.0.stop_when.loss_is: unknown key; known here are circuit_is_stable"),
        # stages that do not follow each other
        (13, "  - epochs: 2\n  - {kind: thin, share: 0.5, epochs: 1}",
         "12: stages: stage 2 is of kind 'thin', which only the first stage can be"),
        (13, "  - {epochs: 2, select: {policy: random, budget: 1}}",
         "12: stages: the first stage has no graph before it to select from; leave out its 'select'"),
        (14, "  - epochs: 4\n  - epochs: 1",
         "12: stages: stage 2 needs a 'select' that says which neurons it trains, or a 'kind' ("
         + ", ".join(STAGE_KINDS) + ")"),
        # queries and what they are asked with
        (10, "  - query: ../ingest/delete_run",
         "10: queries.0.query: there is no query 'analysis/../ingest/delete_run'; known are analysis, export, "
         "import, ingest, lookup, schema"),
        (10, "  - query: graph_sizes",
         "10: queries.0.query: query 'graph_sizes' returns no neurons to make a circuit of: it needs the columns layer "
         "and index, neurons, or those of edges, and has graph_id, node_count, edge_count"),
        (16, "      query: strongest_paths\n      policy: random",
         "17: stages.1.select.policy: query 'strongest_paths' returns no column layer, index, influence to select "
         "neurons by; ask another one, or take its rows in their order by policy: query"),
        (11, "    parameters: {top: 5}",
         "11: queries.0.parameters: query 'strongest_paths' has no parameter 'top'; did you mean 'top_k'? "
         + STRONGEST_PATHS),
        (11, "    parameters: {top_k: five}",
         "11: queries.0.parameters: parameter 'top_k' of query 'strongest_paths' is 'five', which is no INTEGER; "
         + STRONGEST_PATHS),
        (11, "    parameters: {graph_id: other}",
         "11: queries.0.parameters: 'graph_id' is filled in by the run, from its graph of 'target'; leave it out"),
        (16, "      parameters: {graph_id: other}\n      policy: random",
         "16: stages.1.select.parameters: 'graph_id' is filled in by the run, from its graph of 'target'; leave it "
         "out"),
        (10, "  - query: neuron_set",
         "10: queries.0.parameters: query 'neuron_set' needs the parameter 'neuron_set_id'; its parameters are "
         "neuron_set_id (STRING); `attrgraph query choosing_query` shows what there is"),
        # not YAML, or YAML that no experiment needs
        (3, "dataset: [digits", "4: not valid YAML: expected ',' or ']', but got ':'"),
        (3, "\tdataset: digits", "3: not valid YAML: found character '\\t' that cannot start any token"),
        (3, "dataset: !!set {a, b}",
         "3: values are text, numbers, true, false, null, lists and mappings, not 'set'"),
        (3, "dataset: !!python/object:os.system {}",
         "3: values are text, numbers, true, false, null, lists and mappings, not 'python/object:os.system'"),
        (3, "dataset: &own {factory: digits, arguments: *own}",
         "3: an alias leads back to the list or mapping that it is in"),
    ],
)  # fmt: skip
def test_one_wrong_line(file: Path, number: int, line: str, expected: str):
    assert complaint(file, with_line(number, line)) == f"small.yaml:{expected}"


def test_a_query_that_is_not_there(file: Path):
    said = complaint(file, with_line(10, "  - query: strongest_path"))
    assert said.startswith(
        "small.yaml:10: queries.0.query: there is no query 'analysis/strongest_path'; did you mean strongest_paths or "
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "small.yaml:1: an experiment is a mapping of keys such as name, dataset, model, stages"),
        ("- name: small", "small.yaml:1: an experiment is a mapping of keys such as name, dataset, model, stages"),
        ("--- {name: a}\n--- {name: b}", "small.yaml:2: not valid YAML: but found another document"),
        ("a: \x00", "small.yaml:1: not valid YAML: unacceptable character #x0000: special characters are not allowed\n"
         '  in "<unicode string>", position 3'),
    ],
)  # fmt: skip
def test_files_that_hold_no_experiment(file: Path, text: str, expected: str):
    assert complaint(file, text) == expected


def test_every_error_has_its_line(file: Path):
    text = VALID.replace("0.02", "-1").replace("budget: 0.25", "budget: 2").replace("name: small", "nam: small")
    assert complaint(file, text).splitlines() == [
        "small.yaml:1: name: this key is required",
        "small.yaml:6: training.learning_rate: Input should be greater than 0, not -1",
        "small.yaml:17: stages.1.select.budget: Input should be less than or equal to 1, not 2",
        f"small.yaml:1: nam: unknown key; known here are {EXPERIMENT_KEYS}",
    ]


def test_files_that_cannot_be_read(file: Path):
    with pytest.raises(AttrGraphError, match=r"^cannot read the experiment file .*small.yaml: No such file"):
        load_experiment(file)
    file.write_bytes(b"name: \xff")
    with pytest.raises(AttrGraphError, match=r"small.yaml is not a text file in UTF-8$"):
        load_experiment(file)


def test_numbers_and_dates_as_yaml_has_them_since_1_2(file: Path):
    text = VALID.replace("0.02", "1e-3").replace("hidden: [12, 8]", "since: 2024-02-31, rate: 2E+1, text: '1e3'")
    file.write_text(text, encoding="utf-8")
    experiment = load_experiment(file)
    assert experiment.training.learning_rate == 0.001
    assert experiment.model.arguments == {"since": "2024-02-31", "rate": 20.0, "text": "1e3"}


def test_whole_numbers_are_numbers(file: Path):
    file.write_text(VALID.replace("budget: 0.25", "budget: 1"), encoding="utf-8")
    selection = load_experiment(file).stages[1].select
    assert selection is not None
    assert selection.budget == 1.0


def test_an_alias_that_does_not_lead_back_is_allowed(file: Path):
    text = VALID.replace("hidden: [12, 8]", "hidden: &widths [12, 8], also: *widths")
    file.write_text(text, encoding="utf-8")
    assert load_experiment(file).model.arguments == {"hidden": [12, 8], "also": [12, 8]}


def run_id_of(file: Path, text: str) -> str:
    file.write_text(text, encoding="utf-8")
    return load_experiment(file).run_id(0)


def test_the_run_changes_with_what_affects_it_and_with_nothing_else(file: Path):
    run_id = run_id_of(file, VALID)
    assert run_id_of(file, VALID.replace("seeds: [0, 1]", "seeds: [0]\nnightly: true\ndescription: d")) == run_id
    assert run_id_of(file, VALID.replace("{factory: digits}", "{arguments: {}, factory: digits}")) == run_id
    changes = [("0.02", "0.03"), ("samples: 40", "samples: 41"), ("class:3", "class:4"), ("epochs: 1", "epochs: 3")]
    assert len({run_id, *(run_id_of(file, VALID.replace(*change)) for change in changes)}) == 5


def test_what_a_stage_is_asked(file: Path):
    file.write_text(VALID, encoding="utf-8")
    experiment = load_experiment(file)
    assert [question.query for question in experiment.questions_of_stage(1)] == ["strongest_paths", "neuron_influence"]
    assert [question.query for question in experiment.questions_of_stage(2)] == ["strongest_paths"]


def test_a_folder_of_experiments(file: Path):
    file.write_text(VALID, encoding="utf-8")
    (file.parent / "other.yml").write_text(VALID.replace("name: small", "name: other"), encoding="utf-8")
    assert list(load_experiments(file.parent)) == ["other", "small"]
    assert list(load_experiments(file)) == ["small"]


def test_two_experiments_of_one_name(file: Path):
    file.write_text(VALID, encoding="utf-8")
    (file.parent / "twin.yaml").write_text(VALID, encoding="utf-8")
    with pytest.raises(
        AttrGraphError, match=r"twin.yaml:1: name: 'small' is taken by .*small.yaml:1: name; rename one$"
    ):
        load_experiments(file.parent)


def test_a_folder_without_experiments(tmp_path: Path):
    with pytest.raises(AttrGraphError, match=r"no experiment files .* set ATTRGRAPH_EXPERIMENTS to their folder$"):
        load_experiments(tmp_path)
