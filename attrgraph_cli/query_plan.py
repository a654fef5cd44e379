"""A query's plan as a tree: what the server would do, from the bottom up, and how many rows it expects."""

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.tree import Tree

LONGEST_DETAIL = 110


def plan_tree(plan: Mapping[str, Any], title: str) -> Tree:
    """A tree of the plan that the driver gives: its operators, estimated rows and details."""
    tree = Tree(f"[bold]{escape(title)}[/] [dim](estimated rows)[/]")
    _add(tree, plan)
    return tree


def _add(tree: Tree, plan: Mapping[str, Any]) -> None:
    arguments = plan.get("args", {})
    words = f"[bold]{escape(str(plan['operatorType']).partition('@')[0])}[/]"
    if "EstimatedRows" in arguments:
        words += f" [cyan]{_rows(float(arguments['EstimatedRows']))}[/]"
    details = " ".join(str(arguments.get("Details", "")).split())
    if details:
        shown = details if len(details) <= LONGEST_DETAIL else f"{details[: LONGEST_DETAIL - 3]}..."
        words += f" [dim]{escape(shown)}[/]"
    branch = tree.add(words)
    for child in plan.get("children", ()):
        _add(branch, child)


def _rows(rows: float) -> str:
    return f"{rows:,.0f}" if rows >= 10 or rows == int(rows) else f"{rows:.2g}"
