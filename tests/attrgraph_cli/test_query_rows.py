"""How rows are shown: as a table where it has room, else as lists of columns and values."""

import pandas as pd
import pytest
from rich.console import Console

from attrgraph_cli.query_rows import Format, _show, print_rows

TABLE = pd.DataFrame({"circuit_id": ["run/" + "x" * 40], "edge_rank_correlation": [0.25], "seed_stability": [None]})
ROWS = """\
── 1 ──────────────────
circuit_id             run/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
edge_rank_correlation  0.25
seed_stability
"""


def shown(table: pd.DataFrame, width: int, format: Format = Format.auto) -> str:
    console = Console(width=width, no_color=True, legacy_windows=False)
    with console.capture() as captured:
        _show(table, format, console)
    return captured.get()


def test_a_table_without_room_is_shown_as_rows():
    assert shown(TABLE, 49) == ROWS + "1 row\n"
    assert shown(TABLE, 200, Format.rows) == ROWS + "1 row\n"


def test_a_long_text_is_folded_and_a_number_or_the_name_of_a_column_is_not():
    lines = shown(TABLE, 60).splitlines()
    assert max(map(len, lines)) <= 60
    assert [line for line in lines if "edge_rank_" in line]  # in two lines, with the rest of the name below
    assert [line for line in lines if "correlation" in line]
    assert [line for line in lines if "0.25" in line]
    assert "".join(part for line in lines for part in line if part == "x") == "x" * 40


def test_a_table_with_room_is_one():
    text = shown(TABLE, 120)
    assert "edge_rank_correlation" in text
    assert "── 1 ─" not in text
    assert "run/" + "x" * 40 in text


def test_paths_have_arrows_and_curves_have_none():
    table = pd.DataFrame({"neurons": [["input/1", "fc1/0"]], "curve": [[0.25, 1.0]]})
    assert shown(table, 80, Format.rows).splitlines()[1:3] == ["neurons  input/1 → fc1/0", "curve    0.25 1"]


@pytest.mark.parametrize("width", [50, 200])
def test_no_rows_are_a_table_of_names(width):
    text = shown(TABLE.head(0), width)
    assert "circuit_id" in text.replace("\n", "")
    assert text.endswith("0 rows\n")


def test_rows_go_to_a_file_as_they_are_shown(tmp_path):
    print_rows(TABLE, Format.rows, tmp_path / "rows.txt")
    assert (tmp_path / "rows.txt").read_text(encoding="utf-8") == ROWS
