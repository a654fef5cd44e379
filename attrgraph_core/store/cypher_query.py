"""A query as a file of `cypher/` has it: what it answers, what it takes and what it returns.

    // What it answers, in a sentence.
    //
    // What one should know beside, in a paragraph of its own.
    //
    // @topic neurons
    // @param  top_k      INTEGER  how many neurons [default 20]
    // @return influence  FLOAT    what the column holds
    // @requires gds

A header whose parameters differ from the `$names` of the text is refused. `[default x]` (a JSON value) makes a
parameter optional, `[one of in, out]` before it names the texts that it may be; a line without a tag goes on with the
description above it. `@requires gds` marks a query that needs Graph Data Science.

    // @computed  kept  pruning:pruned_neurons  what its rows hold

What does not belong into Cypher, such as sums over all paths, is computed from the graph before the query is asked: the
function of `attrgraph_core.circuits` gets the graph of `$graph_id`, and those parameters of the query that its
signature has; the rows of the table that it gives are `$kept`, a list of maps. Parameters may be there for it alone.

    // @bulk

marks an answer of up to millions of rows: the store has it sent as one list, several times as fast as a record a row,
for which the server must have room in its memory.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from attrgraph_core.errors import AttrGraphError

# Of analysis/, in the order of its README.
TOPICS = ("graphs", "neurons", "paths", "subgraphs", "failures", "time", "provenance")
TYPES = ("INTEGER", "FLOAT", "BOOLEAN", "STRING", "MAP", "LIST<INTEGER>", "LIST<FLOAT>", "LIST<STRING>", "LIST<MAP>")

_TAG = re.compile(r"@(\w+)\s*(.*)")
_DEFAULT = re.compile(r"\s*\[default (.+)\]\s*$")
_CHOICES = re.compile(r"\s*\[one of ([^\]]+)\]\s*$")


@dataclass(frozen=True)
class Parameter:
    """What a query takes under one name. `default` counts only where `is_required` is false; with `choices` it is one
    of them."""

    type: str
    description: str
    is_required: bool = True
    default: Any = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """What a query returns under one name."""

    type: str
    description: str


@dataclass(frozen=True)
class Computed:
    """A list of maps that a query is given beside its parameters: rows of what `function` (`module:name` of
    `attrgraph_core.circuits`) computes from the graph."""

    name: str
    function: str
    description: str


@dataclass(frozen=True)
class CypherQuery:
    """A query as its file has it; `hash` (16 hexadecimal digits) is that of the text without comments.

    `title` is the header's first paragraph, `notes` are the others.
    """

    name: str
    folder: str
    title: str
    text: str
    params: Mapping[str, Parameter]
    returns: Mapping[str, Column]
    requires: tuple[str, ...]
    hash: str
    computed: Computed | None = None
    notes: tuple[str, ...] = ()
    topic: str = ""
    is_bulk: bool = False

    @property
    def needs_graph_data_science(self) -> bool:
        return "gds" in self.requires

    @property
    def in_one_record(self) -> str:
        """The same question, answered by one record of one list, `rows`, of lists of the columns."""
        return f"CALL () {{\n{self.statements[0]}\n}}\nRETURN collect([{', '.join(self.returns)}]) AS rows"

    @property
    def statements(self) -> tuple[str, ...]:
        """The text without comments, cut at each `;` that ends a line. One statement but in `schema/`."""
        parts = re.split(r";[ \t]*(?:\n|$)", _without_comments(self.text))
        return tuple(part.strip() for part in parts if part.strip())


def parse_query(name: str, text: str, folder: str = "analysis") -> CypherQuery:
    """A query from its text. Raises AttrGraphError where the header is missing, malformed or not true to the text."""
    where = f"{folder}/{name}.cypher"
    header = []
    for line in text.splitlines():
        if not line.startswith("//"):
            break
        header.append(line.removeprefix("//").strip())
    paragraphs: list[list[str]] = [[]]
    tags: list[list[str]] = []
    for line in header:
        match = _TAG.fullmatch(line)
        if match:
            tags.append([match[1], match[2]])
        elif line and tags:
            tags[-1][1] += f" {line}"
        elif line:
            paragraphs[-1].append(line)
        elif paragraphs[-1]:
            paragraphs.append([])
    title, *notes = (" ".join(paragraph) for paragraph in paragraphs)
    if not title:
        raise AttrGraphError(f"{where} does not begin with '// ' and a sentence that says what it answers")

    params: dict[str, Parameter] = {}
    returns: dict[str, Column] = {}
    requires: list[str] = []
    computed: Computed | None = None
    topic = ""
    is_bulk = False
    for tag, content in tags:
        if tag == "bulk" and not content.strip():
            is_bulk = True
            continue
        if tag == "requires":
            requires += content.split()
            continue
        if tag == "topic":
            topic = _topic(where, content.strip())
            continue
        words = content.split(maxsplit=2)
        if tag == "computed":
            computed = _computed(where, words, computed)
            continue
        if tag not in ("param", "return") or len(words) < 3 or words[1] not in TYPES:
            raise AttrGraphError(
                f"{where}: '@{tag} {' '.join(content.split())}' is not '@param' or '@return', a name, a type of "
                f"{', '.join(TYPES)}, and a description"
            )
        if words[0] in (params if tag == "param" else returns):
            raise AttrGraphError(f"{where}: @{tag} {words[0]} is there twice")
        if tag == "return":
            returns[words[0]] = Column(words[1], words[2])
        else:
            params[words[0]] = _parameter(where, *words)
    body = _without_comments(text).strip()
    _check_used(where, set(re.findall(r"\$([A-Za-z_]\w*)", body)), set(params), computed)
    return CypherQuery(
        name=name,
        folder=folder,
        title=title,
        text=text,
        params=MappingProxyType(params),
        returns=MappingProxyType(returns),
        requires=tuple(requires),
        hash=hashlib.sha256(body.encode()).hexdigest()[:16],
        computed=computed,
        notes=tuple(note for note in notes if note),
        topic=topic,
        is_bulk=is_bulk,
    )


def _topic(where: str, name: str) -> str:
    if name not in TOPICS:
        raise AttrGraphError(f"{where}: @topic is {name!r}; it is one of {', '.join(TOPICS)}")
    return name


def _computed(where: str, words: list[str], before: Computed | None) -> Computed:
    if before is not None:
        raise AttrGraphError(f"{where}: @computed is there twice; let one function give all")
    if len(words) < 3 or ":" not in words[1]:
        raise AttrGraphError(
            f"{where}: '@computed {' '.join(words)}' is not a name, 'module:function' of attrgraph_core.circuits, and "
            "a description"
        )
    return Computed(*words)


def _check_used(where: str, used: set[str], params: set[str], computed: Computed | None) -> None:
    """What is computed must be used, too; a parameter may be for its computation alone."""
    known = params if computed is None else params | {computed.name}
    wanted = known if computed is None else {computed.name, "graph_id"}
    if not (used <= known and wanted <= used):
        raise AttrGraphError(
            f"{where}: the header has the parameters {sorted(known)}, the text uses {sorted(used)}; make them the same"
        )


def _parameter(where: str, name: str, type_name: str, description: str) -> Parameter:
    match = _DEFAULT.search(description)
    if match is not None:
        description = description[: match.start()]
    choices = _CHOICES.search(description)
    if choices is not None:
        description = description[: choices.start()]
    known = tuple(choice.strip() for choice in choices[1].split(",")) if choices else ()
    if match is None:
        return Parameter(type_name, description, choices=known)
    try:
        default = json.loads(match[1])
    except json.JSONDecodeError:
        raise AttrGraphError(f"{where}: the default of {name}, {match[1]}, is no JSON value") from None
    return Parameter(type_name, description, is_required=False, default=default, choices=known)


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("//"))
