import re

import yaml

from attrgraph_core.store.catalogue import catalogue
from attrgraph_core.store.queries import CYPHER_FOLDER, check_parameters, load_query, query_names
from pipelines.experiments import Question, Selection


def test_the_readme_of_the_queries_is_current():
    written = (CYPHER_FOLDER / "README.md").read_text(encoding="utf-8")
    assert written == catalogue(), "python -m attrgraph_core.store.catalogue writes it anew"


def test_every_query_is_in_it_with_its_parameters():
    text = catalogue()
    for name in query_names():
        entry = text.split(f"### {name}\n")[1].split("\n### ")[0]
        query = load_query(name)
        assert query.title in entry
        assert re.findall(r"- takes `(\w+)`", entry) == [p for p in query.params if p != "projection"]
        assert re.findall(r"- gives `(\w+)`", entry) == list(query.returns)


def test_a_row_of_a_table_has_three_cells():
    rows = [line for line in catalogue().splitlines() if line.startswith("| [")]
    assert len(rows) == len(query_names())
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows} == {5}  # an empty text at either end


def test_the_examples_of_the_readme_are_valid():
    experiment = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", catalogue(), re.DOTALL)[0])
    for question in experiment["queries"]:
        Question.model_validate(question)
    Selection.model_validate(experiment["stages"][1]["select"])
    check_parameters(load_query("pruned_edges"), {"graph_id": "g", "node_threshold": 0.6})
