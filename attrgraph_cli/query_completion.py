"""What the shell completes after `attrgraph query`: names of queries, and parameters of the one that is named."""

from collections.abc import Iterator

import typer


def complete_name(incomplete: str) -> Iterator[tuple[str, str]]:
    """Queries that begin as typed, with what they answer."""
    from attrgraph_core.store.queries import load_query, query_names

    for name in query_names():
        if name.startswith(incomplete):
            yield name, load_query(name).title


def complete_parameter(context: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """`key=` for a parameter of the query, and `key=value` where its values are known."""
    from attrgraph_core.errors import AttrGraphError
    from attrgraph_core.store.queries import load_query

    # Behind an option that still lacks its value the parser stops, and leaves the name among the rest.
    name = context.params.get("name") or next(iter(context.args), "")
    try:
        query = load_query(name)
    except AttrGraphError:
        return
    given = {text.partition("=")[0] for text in context.params.get("param") or []}
    for key, parameter in query.params.items():
        if key == "projection" or key in given:
            continue
        values = parameter.choices or (("true", "false") if parameter.type == "BOOLEAN" else ("",))
        for value in values:
            if f"{key}={value}".startswith(incomplete):
                yield f"{key}={value}", parameter.description
