"""`cypher/favourites.csv` is what the headers make of it, and what Neo4j Browser's importer asks for."""

import csv
import io
import zipfile

import pytest

from attrgraph_core.store.favourites import browser_queries, browser_text, favourites_csv, write_zip
from attrgraph_core.store.queries import CYPHER_FOLDER, load_query


def test_the_file_is_current():
    written = (CYPHER_FOLDER / "favourites.csv").read_text(encoding="utf-8")
    assert written == favourites_csv(), "run python -m attrgraph_core.store.favourites"


def test_rows_are_as_browser_reads_them():
    """Its importer wants these columns, ids once each, and parents that are folders with names of their own."""
    rows = list(csv.DictReader(io.StringIO(favourites_csv())))
    assert list(rows[0]) == ["name", "description", "query", "id", "parentId", "isFolder"]
    assert len({row["id"] for row in rows}) == len(rows)
    folders = {row["id"]: row["name"] for row in rows if row["isFolder"] == "true"}
    assert len(set(folders.values())) == len(folders)
    queries = [row for row in rows if row["isFolder"] == "false"]
    assert {row["parentId"] for row in queries} == set(folders)
    assert [row["name"] for row in queries] == [query.name for query in browser_queries()]
    assert all(len(row["name"]) < 500 and row["query"] for row in queries)


def test_defaults_are_set_and_what_is_missing_is_said():
    lines = browser_text(load_query("top_edges")).splitlines()
    assert lines[:4] == [
        "// top_edges: The strongest edges of one graph.",
        "// set it first: :param graph_id => ...  (STRING: graph that is read)",
        ":param top_k => 100;",
        ':param by => "weight";',
    ]
    assert lines[4].startswith("MATCH (:AttributionGraph {graph_id: $graph_id")
    assert "pruned_edges" not in {query.name for query in browser_queries()}  # its rows are computed outside


def test_the_same_as_files_in_folders(tmp_path):
    write_zip(tmp_path / "favourites.zip")
    with zipfile.ZipFile(tmp_path / "favourites.zip") as archive:
        assert "AttrGraph_paths/strongest_paths.cypher" in archive.namelist()
        assert len(archive.namelist()) == len(browser_queries())


@pytest.mark.neo4j
def test_a_server_plans_each_of_them(neo4j_driver):
    for query in browser_queries():
        if query.needs_graph_data_science:
            continue
        body = "\n".join(line for line in browser_text(query).splitlines() if not line.startswith((":", "//")))
        neo4j_driver.execute_query("EXPLAIN " + body, dict.fromkeys(query.params, 1))
