import numpy as np
import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.cypher_query import CypherQuery, parse_query
from attrgraph_core.store.parameters import check_parameters, coerce


@pytest.fixture
def query() -> CypherQuery:
    header = (
        "// Everything.\n// @param graph_id STRING g\n// @param top_k INTEGER k [default 20]\n"
        "// @param share FLOAT s [default 0.5]\n// @param deep BOOLEAN d [default false]\n"
        "// @param layers LIST<STRING> l [default null]\n// @param places LIST<INTEGER> p [default []]\n"
        "// @param more MAP m [default {}]\n"
    )
    return parse_query("everything", header + "RETURN $graph_id, $top_k, $share, $deep, $layers, $places, $more")


DEFAULTS = {"top_k": 20, "share": 0.5, "deep": False, "layers": None, "places": [], "more": {}}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("top_k", "5", 5),
        ("share", "1e-3", 0.001),
        ("share", "1", 1.0),
        ("deep", "True", True),
        ("layers", "fc1, fc2", ["fc1", "fc2"]),
        ("layers", '["a,b"]', ["a,b"]),
        ("layers", "null", None),
        ("layers", "", []),
        ("places", "3,17", [3, 17]),
        ("more", '{"a": 1}', {"a": 1}),
    ],
)
def test_text_becomes_a_value_of_the_parameters_type(query, name, text, value):
    assert coerce(query, {"graph_id": "7", name: text}) == {**DEFAULTS, "graph_id": "7", name: value}


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("top_k", "five", "INTEGER"),
        ("top_k", "5.0", "INTEGER"),
        ("top_k", str(2**63), "INTEGER"),
        ("share", "nan", "FLOAT"),
        ("deep", "maybe", "BOOLEAN"),
        ("places", "1,b", "LIST<INTEGER>"),
        ("more", "[1]", "MAP"),
    ],
)
def test_text_of_another_type_is_refused(query, name, text, kind):
    with pytest.raises(
        AttrGraphError, match=f"parameter '{name}' of query 'everything' is .*, which is no {kind}; its"
    ):
        coerce(query, {"graph_id": "g", name: text})


def test_defaults_fill_what_is_left_out(query):
    assert check_parameters(query, {"graph_id": "g"}) == {**DEFAULTS, "graph_id": "g"}


def test_numbers_of_numpy_are_numbers(query):
    checked = check_parameters(query, {"graph_id": "g", "top_k": np.int64(3), "share": np.float32(0.25)})
    assert (checked["top_k"], checked["share"]) == (3, 0.25)
    assert type(checked["top_k"]) is int


def test_a_negative_count_is_refused_and_none_at_all_is_a_count(query):
    with pytest.raises(AttrGraphError, match=r"parameter 'top_k' of query .* is -3; it counts, from 0"):
        check_parameters(query, {"graph_id": "g", "top_k": -3})
    assert check_parameters(query, {"graph_id": "g", "top_k": 0})["top_k"] == 0


@pytest.mark.parametrize("value", [True, 5.0, "5", None])
def test_another_type_is_refused(query, value):
    with pytest.raises(AttrGraphError, match="which is no INTEGER"):
        check_parameters(query, {"graph_id": "g", "top_k": value})


def test_a_missing_parameter_is_named_with_the_known_ones(query):
    with pytest.raises(AttrGraphError, match=r"needs the parameter 'graph_id'; .*top_k \(INTEGER, default 20\)"):
        check_parameters(query, {})


def test_a_parameter_given_later_may_be_missing(query):
    assert check_parameters(query, {}, given=("graph_id", "run_id")) == DEFAULTS


def test_an_unknown_parameter_is_named_with_the_nearest_one(query):
    with pytest.raises(AttrGraphError, match="no parameter 'topk'; did you mean 'top_k'"):
        coerce(query, {"graph_id": "g", "topk": "5"})
