import pytest
from neo4j.spatial import CartesianPoint
from neo4j.time import DateTime

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.archive.property_columns import to_rows, to_table

AT = DateTime.from_iso_format("2026-11-24T20:15:01.123456789+00:00")


def test_every_value_comes_back_with_its_type():
    rows = [
        {"name": "a`\"\n,;'ü", "count": 3, "share": 0.1, "is_stale": False, "at": AT, "layers": ["fc1", "fc2"]},
        {"name": "", "count": -(2**63), "share": float("inf"), "is_stale": True, "at": AT, "layers": []},
        {"numbers": [1, 2], "shares": [0.5], "flags": [True]},
        {},
    ]
    assert to_rows(to_table(rows, {})) == rows


def test_a_property_of_two_types_has_two_columns():
    rows = [{"rate": 1}, {"rate": 0.1}, {"rate": True}, {"a:b": "x"}]
    table = to_table(rows, {})
    assert table.column_names == ["a:b:STRING", "rate:BOOLEAN", "rate:FLOAT", "rate:INTEGER"]
    found = to_rows(table)
    assert found == rows
    assert [type(row["rate"]) for row in found[:3]] == [int, float, bool]


def test_a_time_keeps_its_nanoseconds_before_1970_too():
    times = [AT, DateTime.from_iso_format("1969-12-31T23:59:59.000000001+00:00")]
    found = to_rows(to_table([{"at": at} for at in times], {}))
    assert [row["at"].iso_format() for row in found] == [at.iso_format() for at in times]


def test_what_no_column_holds_is_named():
    with pytest.raises(AttrGraphError, match=r"property 'place' is .*CartesianPoint"):
        to_table([{"place": CartesianPoint((1.0, 2.0))}], {})
