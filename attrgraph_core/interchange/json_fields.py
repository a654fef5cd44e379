"""Fields of a JSON file, taken with their type; what is wrong is named by its place, such as `links[3].weight`."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attrgraph_core.errors import AttrGraphError


@dataclass(frozen=True)
class Field:
    """A value of the file `path` at `place` in it."""

    path: Path
    place: str
    value: Any

    def __getitem__(self, key: str | int) -> "Field":
        """A field of a mapping. Raises AttrGraphError where it is missing."""
        mapping = self.mapping()
        if key not in mapping:
            raise self.error(f"has no field {key!r}")
        return Field(self.path, f"{self.place}.{key}" if self.place else str(key), mapping[key])

    def get(self, key: str, default: Any = None) -> "Field":
        """A field of a mapping, or one of `default` where it is missing or null."""
        value = self.mapping().get(key)
        return Field(self.path, f"{self.place}.{key}" if self.place else key, default if value is None else value)

    def mapping(self) -> dict[str, Any]:
        if not isinstance(self.value, dict):
            raise self.error(f"is {_shown(self.value)}, not a mapping")
        return self.value

    def fields(self) -> Iterator[tuple[str, "Field"]]:
        """The names and fields of a mapping."""
        yield from ((key, self[key]) for key in self.mapping())

    def items(self) -> Iterator["Field"]:
        """The elements of a list."""
        if not isinstance(self.value, list):
            raise self.error(f"is {_shown(self.value)}, not a list")
        yield from (Field(self.path, f"{self.place}[{n}]", value) for n, value in enumerate(self.value))

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.error(f"is {_shown(self.value)}, not a text")
        return self.value

    def whole(self) -> int:
        """A whole number, also written as text."""
        value = self.value
        if isinstance(value, str) and value.lstrip("-").isdigit():
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(f"is {_shown(value)}, not a whole number")
        return value

    def number(self) -> float:
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.error(f"is {_shown(value)}, not a finite number")
        return float(value)

    def error(self, what: str) -> AttrGraphError:
        return AttrGraphError(f"{self.path}: {self.place or 'the file'} {what}")


def read_json(path: Path) -> Field:
    """The whole file as a field. Raises AttrGraphError where it cannot be read or is no JSON."""
    try:
        return Field(path, "", json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise AttrGraphError(f"cannot read {path}: {error.strerror}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise AttrGraphError(f"{path} is no JSON: {error}") from error


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else f"{text[:37]}..."
