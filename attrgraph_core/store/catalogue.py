"""`cypher/README.md`, made from the headers of the queries: `python -m attrgraph_core.store.catalogue` writes it."""

import json
from itertools import groupby

from attrgraph_core.store.cypher_query import TOPICS, CypherQuery
from attrgraph_core.store.queries import CYPHER_FOLDER, load_query, query_names

INTRODUCTION = """\
# The queries

Made from the headers of the files by `python -m attrgraph_core.store.catalogue`; a test fails where it is not.

```
attrgraph query pruned_edges --param node_threshold=0.6       # of the newest graph; --list shows all
```
```python
table = store.query("pruned_edges", graph_id=graph_id, node_threshold=0.6)
```
```yaml
queries:                                                      # in an experiment: asked after each stage
  - {query: widest_paths, target: "class:3", parameters: {top_k: 5}}
stages:
  - epochs: 8
  - epochs: 4                                                 # and to choose what the next stage trains
    select: {query: path_mass, parameters: {top_k: 1000}, policy: top_influence, budget: 0.25}
```

A graph is of one target: a class, the true class, the loss, or a combination of logits such as that of an error,
class a taken for b. What a query finds in it is so of a class, of the samples the graph was made of, or of an error;
`attrgraph graph attribute` makes such graphs of a run.

Neurons of two runs are compared once they are matched:

```python
matches = match_neurons(model, other_model, inputs)  # of attrgraph_core.circuits.matching
store.save_matches(run_id, other_run_id, matches)
```

Any query that returns `layer`, `index` and `influence` can select neurons; one that returns neurons or edges can be
kept as a circuit. *gds* needs Graph Data Science, and the query of the same name without `_gds` does not. *computed*
marks what does not belong into Cypher: a function of `attrgraph_core/circuits/` computes it from the stored graph, and
the query selects from what it gives; `store.query` and `attrgraph query` do both. The files in `ingest/`, `lookup/`
and `schema/` are the store's own.
"""


def catalogue() -> str:
    """The text of `cypher/README.md`."""
    queries = sorted(map(load_query, query_names()), key=lambda query: (TOPICS.index(query.topic), query.name))
    parts = [INTRODUCTION]
    grouped = [(topic, list(group)) for topic, group in groupby(queries, key=lambda query: query.topic)]
    for topic, group in grouped:
        rows = [f"| [{query.name}](#{query.name}) | {_cell(query.title)} | {_mark(query)} |" for query in group]
        parts.append("\n".join([f"## {topic.capitalize()}", "", "| query | answers | |", "|---|---|---|", *rows, ""]))
    parts.append("# Each query\n")
    parts += [_entry(query) for _, group in grouped for query in group]
    return "\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _mark(query: CypherQuery) -> str:
    return "gds" if query.needs_graph_data_science else "computed" if query.computed else ""


def _entry(query: CypherQuery) -> str:
    lines = [f"### {query.name}", "", query.title, ""]
    for note in query.notes:
        lines += [note, ""]
    for name, parameter in query.params.items():
        if name == "projection":  # the store names it
            continue
        default = "" if parameter.is_required else f", default `{json.dumps(parameter.default)}`"
        choices = f", one of {', '.join(parameter.choices)}" if parameter.choices else ""
        lines.append(f"- takes `{name}` ({parameter.type}{choices}{default}): {parameter.description}")
    if query.computed is not None:
        module, _, function = query.computed.function.partition(":")
        lines.append(f"- computed by `attrgraph_core.circuits.{module}.{function}`: {query.computed.description}")
    lines += [f"- gives `{name}` ({column.type}): {column.description}" for name, column in query.returns.items()]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    (CYPHER_FOLDER / "README.md").write_text(catalogue(), encoding="utf-8")
