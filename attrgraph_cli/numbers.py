"""Numbers as people write them."""

from collections.abc import Iterable


def ranges(numbers: Iterable[int]) -> str:
    """Whole numbers in order, neighbours joined: `0-3, 7, 9-10`."""
    parts: list[list[int]] = []
    for number in sorted(map(int, numbers)):
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)
