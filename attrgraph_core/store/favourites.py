"""The queries as saved Cypher of Neo4j Browser, `cypher/favourites.csv`: `python -m attrgraph_core.store.favourites`.

Browser's Query tab imports the CSV file (columns name, description, query, id, parentId, isFolder) under Saved Cypher;
its classic view takes a ZIP file of `<folder>/<name>.cypher` files that is dropped on it: give a name ending in .zip.
A folder is a topic. Queries whose rows are computed outside the server cannot be asked there and are left out.
"""

import csv
import io
import json
import sys
import zipfile
from pathlib import Path

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.cypher_query import TOPICS, CypherQuery
from attrgraph_core.store.queries import CYPHER_FOLDER, load_query, query_names

COLUMNS = ("name", "description", "query", "id", "parentId", "isFolder")
PROJECTION = "attrgraph-browser"  # of Graph Data Science; elsewhere the store makes a name up


def favourites_csv() -> str:
    """The text of `cypher/favourites.csv`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    queries = browser_queries()
    topics = [topic for topic in TOPICS if any(query.topic == topic for query in queries)]
    for number, topic in enumerate(topics):
        writer.writerow((f"AttrGraph: {topic}", "", "", number, "", "true"))
    for number, query in enumerate(queries, start=len(topics)):
        row = (query.name, query.title, browser_text(query), number, topics.index(query.topic), "false")
        writer.writerow(row)
    return text.getvalue()


def write_zip(path: Path) -> None:
    """The same as files in folders."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for query in browser_queries():
            archive.writestr(f"AttrGraph_{query.topic}/{query.name}.cypher", browser_text(query))


def browser_queries() -> list[CypherQuery]:
    """Those that a server can answer by itself, by topic and name."""
    known = [query for query in map(load_query, query_names()) if query.computed is None]
    return sorted(known, key=lambda query: (TOPICS.index(query.topic), query.name))


def browser_text(query: CypherQuery) -> str:
    """The query with its name on the first line, which Browser shows, and its defaults as `:param` commands.

    A parameter without a default has a comment that says how to set it.
    """
    lines = [f"// {query.name}: {query.title}"]
    for name, parameter in query.params.items():
        if name == "projection":
            lines.append(f":param {name} => {json.dumps(PROJECTION)};")
        elif parameter.is_required:
            lines.append(f"// set it first: :param {name} => ...  ({parameter.type}: {parameter.description})")
        else:
            lines.append(f":param {name} => {json.dumps(parameter.default)};")
    return "\n".join([*lines, *query.statements]) + "\n"


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else CYPHER_FOLDER / "favourites.csv"
    if path.suffix == ".zip":
        write_zip(path)
    elif path.suffix == ".csv":
        path.write_text(favourites_csv(), encoding="utf-8")
    else:
        raise AttrGraphError(f"{path} is neither a .csv nor a .zip file, which Browser reads")


if __name__ == "__main__":
    main()
