import pytest
from typer.testing import CliRunner

from attrgraph_cli.db import app
from attrgraph_cli.numbers import ranges
from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.graph_store import GraphStore
from tests.worked_graph import make_graph


@pytest.mark.parametrize(
    ("numbers", "text"), [([], ""), ([3], "3"), ([2, 1, 0], "0-2"), ([0, 1, 2, 3, 7, 9, 10], "0-3, 7, 9-10")]
)
def test_neighbours_are_joined(numbers, text):
    assert ranges(numbers) == text


@pytest.mark.neo4j
def test_prune_shows_first(environment_store):
    runner = CliRunner()
    command = ["prune", "--keep-last", "2", "--run", "prune-test"]
    with GraphStore.open(environment_store) as store:
        for epoch in range(5):
            store.save(make_graph(), run_id="prune-test", stage=1, epoch=epoch)
        try:
            shown = runner.invoke(app, command)
            assert shown.exit_code == 0, shown.output
            assert "1: 3-4" in shown.output
            assert "1: 0-2" in shown.output
            assert "3 of 5" in shown.output
            assert "Nothing was changed" in shown.output
            assert len(store.graphs("prune-test")) == 5
            done = runner.invoke(app, [*command, "--yes"])
            assert "Deleted 3 graphs" in done.output
            assert store.graphs("prune-test")["epoch"].tolist() == [3, 4]
            assert "Nothing goes" in runner.invoke(app, [*command, "--yes"]).output
        finally:
            store.delete_run("prune-test")


@pytest.mark.neo4j
@pytest.mark.usefixtures("environment_store")
def test_an_experiment_that_is_not_there_is_named():
    result = CliRunner().invoke(app, ["prune", "--keep-last", "2", "--experiment", "nope"])
    assert isinstance(result.exception, AttrGraphError)
    assert "there is no experiment 'nope'" in str(result.exception)
