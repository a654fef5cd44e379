"""Files of keys in YAML (experiments, comparisons, studies), read strictly; errors have their file, line and key."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from attrgraph_core.errors import AttrGraphError

SHORT, LONG = "<number>", "<keys>"  # the two forms of a value; not shown


class Section(BaseModel):
    """Types are taken as they are written: `true` is no number and `"0.9"` none either. Lists become tuples."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class KeysFile(Section):
    """The whole of a file, which knows where its keys stand. `sections` are the keys within keys, by name."""

    article: ClassVar[str] = "an"
    file_kind: ClassVar[str] = "experiment"
    first_keys: ClassVar[str] = ""
    sections: ClassVar[Mapping[str, type[BaseModel]]] = {}

    _source: "Source | None" = PrivateAttr(default=None)

    def where(self, *location: str | int) -> str:
        """`file:line: key` of a key by the path that leads to it, such as ("stages", 1, "select")."""
        if self._source is None:
            return f"{self.file_kind} {getattr(self, 'name', '')!r}: {_joined(location) or self.file_kind}"
        return self._source.where(*location)


Keys = TypeVar("Keys", bound=KeysFile)


def read_keys_file(path: Path, keys: type[Keys]) -> Keys:
    """A file as `keys`. Raises AttrGraphError with `file:line: key: what is wrong`, one a line."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise AttrGraphError(f"cannot read the {keys.file_kind} file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise AttrGraphError(f"{path} is not a text file in UTF-8") from error
    try:
        root = yaml.compose(text, Loader=_Loader)
        if root is not None:
            _check_nodes(root, path)
        content = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise AttrGraphError(_yaml_message(path, error)) from error
    if not isinstance(content, dict):
        raise AttrGraphError(
            f"{path}:1: {keys.article} {keys.file_kind} is a mapping of keys such as {keys.first_keys}"
        )
    source = Source(path, root, keys.file_kind)
    try:
        read = keys.model_validate(content)
    except ValidationError as error:
        raise AttrGraphError(described(error, source.where, keys, keys.sections)) from error
    read._source = source
    return read


Sections = Mapping[str, type[BaseModel]]


def described(
    error: ValidationError, where: Callable[..., str], keys: type[BaseModel], sections: Sections, *within: str | int
) -> str:
    """What is wrong, a line each, by the place that `where` tells; `within` leads from the file's root to `keys`."""
    # A list of which every value is wrong counts as too short, too.
    problems = [found for found in error.errors() if found["type"] != "too_short" or not found["input"]]
    return "\n".join(_describe(problem, where, keys, sections, within) for problem in problems)


class _Loader(yaml.SafeLoader):
    """Reads `1e-3` as a number and a date as text, as YAML does since its version 1.2."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _yaml_message(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {problem}"


def _check_nodes(node: yaml.Node, path: Path, above: tuple[yaml.Node, ...] = ()) -> None:
    """Refuse what YAML allows and an experiment does not: repeated keys, keys that are lists, loops, other types."""
    place = f"{path}:{node.start_mark.line + 1}"
    if node in above:
        raise AttrGraphError(f"{place}: an alias leads back to the list or mapping that it is in")
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if kind not in ("str", "int", "float", "bool", "null", "merge", "seq", "map"):
        raise AttrGraphError(f"{place}: values are text, numbers, true, false, null, lists and mappings, not {kind!r}")
    if isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _check_nodes(value, path, (*above, node))
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            place = f"{path}:{key.start_mark.line + 1}"
            if not isinstance(key, yaml.ScalarNode):
                raise AttrGraphError(f"{place}: a key is text, not a list or a mapping")
            if key.value in seen:
                raise AttrGraphError(f"{place}: key {key.value!r} is given twice")
            seen.add(key.value)
            _check_nodes(key, path)
            _check_nodes(value, path, (*above, node))


@dataclass(frozen=True)
class Source:
    """The file that an experiment was read from, and its YAML."""

    path: Path
    root: yaml.Node | None
    kind: str

    def where(self, *location: str | int) -> str:
        return f"{self.path}:{_line_of(self.root, location)}: {_joined(location) or self.kind}"


def _joined(location: tuple[str | int, ...]) -> str:
    return ".".join(map(str, location))


def _describe(
    problem: Any, where: Callable[..., str], keys: type[BaseModel], sections: Sections, within: tuple[str | int, ...]
) -> str:
    kind = problem["type"]
    location = tuple(part for part in problem["loc"] if part not in (SHORT, LONG))
    known = ", ".join(_known_keys(location, keys, sections))
    words = {
        "missing": "this key is required",
        "extra_forbidden": f"unknown key; known here are {known}",
        "invalid_key": f"unknown key; known here are {known}",
        "value_error": problem["msg"].removeprefix("Value error, "),
        "tuple_type": f"Input should be a list, not {problem['input']!r}",
        "model_type": f"Input should be a mapping of keys, not {problem['input']!r}",
        "dict_type": f"Input should be a mapping of keys, not {problem['input']!r}",
        "too_short": "the list is empty; leave the key out or give one value at least",
    }
    message = words.get(kind, f"{problem['msg']}, not {problem['input']!r}")
    return f"{where(*within, *location)}: {message}"


def _line_of(node: yaml.Node | None, location: tuple[str | int, ...]) -> int:
    """Line of the key that a path of keys and positions leads to, or of the last part of it that is there."""
    line = 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(part)]
            if not found:
                return line
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def _known_keys(location: tuple[str | int, ...], keys: type[BaseModel], sections: Sections) -> list[str]:
    named = [str(part) for part in location[:-1] if part in sections]
    fields = (sections[named[-1]] if named else keys).model_fields
    return [name for name, field in fields.items() if not field.exclude]
