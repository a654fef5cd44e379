import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.cypher_query import Column, Computed, Parameter, parse_query
from attrgraph_core.store.queries import load_query, query_folders, query_names

TEXT = """// Neurons of a layer,
// first ones first.
//
// @param  layer  STRING   which layer
// @param  top_k  INTEGER  how many
//                         neurons [default 20]
// @return index  INTEGER  its place
// @requires gds
// A comment on $nothing.
MATCH (state:NeuronState {layer: $layer})
RETURN state.index AS index
ORDER BY index LIMIT $top_k
"""


def test_reads_the_header():
    query = parse_query("first_neurons", TEXT)
    assert query.title == "Neurons of a layer, first ones first."
    assert dict(query.params) == {
        "layer": Parameter("STRING", "which layer"),
        "top_k": Parameter("INTEGER", "how many neurons", is_required=False, default=20),
    }
    assert query.returns["index"].type == "INTEGER"
    assert query.needs_graph_data_science


def test_description_goes_on_until_the_next_tag():
    text = "// T.\n// @return a STRING one\n//   two\n// @return b STRING three\nRETURN 'a' AS a, 'b' AS b\n"
    assert dict(parse_query("t", text).returns) == {"a": Column("STRING", "one two"), "b": Column("STRING", "three")}


def test_the_hash_is_that_of_the_text_without_comments():
    same = TEXT.replace("how many", "number of").replace("MATCH", "// why\nMATCH")
    assert parse_query("q", same).hash == parse_query("q", TEXT).hash
    assert parse_query("q", TEXT.replace("LIMIT", "SKIP")).hash != parse_query("q", TEXT).hash


def test_a_bulk_answer_is_asked_for_in_one_record():
    text = "// T.\n// @return a STRING one\n// @return b STRING two\n// @bulk\nRETURN 'a' AS a, null AS b\nORDER BY a\n"
    query = parse_query("t", text)
    assert query.is_bulk
    assert query.in_one_record == "CALL () {\nRETURN 'a' AS a, null AS b\nORDER BY a\n}\nRETURN collect([a, b]) AS rows"
    assert not parse_query("t", text.replace("// @bulk\n", "")).is_bulk


COMPUTED = """// Neurons that are kept.
//
// @param  graph_id   STRING  graph
// @param  threshold  FLOAT   for the computation alone [default 0.5]
// @param  by         STRING  what ranks them [one of in, out] [default "in"]
// @computed  kept  pruning:kept  layer and index of
//                                each
// @return index  INTEGER  its place
MATCH (graph:AttributionGraph {graph_id: $graph_id})
UNWIND $kept AS row
RETURN row.index AS index ORDER BY $by, index
"""


def test_reads_what_is_computed_and_what_a_text_may_be():
    query = parse_query("kept_neurons", COMPUTED)
    assert query.computed == Computed("kept", "pruning:kept", "layer and index of each")
    assert list(query.params) == ["graph_id", "threshold", "by"]
    assert query.params["by"] == Parameter("STRING", "what ranks them", False, "in", ("in", "out"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("$kept", "[]", r"has the parameters \['by', 'graph_id', 'kept', 'threshold'\], the text uses"),
        ("{graph_id: $graph_id}", "", "the text uses"),
        ("UNWIND $kept", "UNWIND $kept + $more", "the text uses .*'more'"),
        ("pruning:kept", "kept", "'@computed kept kept layer and index of each' is not a name, 'module:function'"),
        ("// @return", "// @computed  more  pruning:more  more\n// @return", "@computed is there twice"),
    ],
)
def test_refuses_a_computed_line_that_is_not_true(old, new, message):
    with pytest.raises(AttrGraphError, match=message):
        parse_query("kept_neurons", COMPUTED.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("$top_k", "20", r"header has the parameters \['layer', 'top_k'\], the text uses \['layer'\]"),
        ("{layer: $layer}", "{layer: $layer, index: $index}", "the text uses .*'index'"),
        ("INTEGER  how", "NUMBER  how", "'@param top_k NUMBER how many .*a type of INTEGER"),
        ("@return", "@gives", "'@gives index INTEGER"),
        ("[default 20]", "[default twenty]", "the default of top_k, twenty, is no JSON"),
        ("@param  top_k", "@param  layer", "@param layer is there twice"),
        ("// Neurons of a layer,\n// first ones first.\n", "", "does not begin with '// '"),
    ],
)
def test_refuses_a_header_that_is_malformed_or_not_true(old, new, message):
    with pytest.raises(AttrGraphError, match=message):
        parse_query("first_neurons", TEXT.replace(old, new))


def test_a_name_is_one_of_analysis_unless_it_says_its_folder():
    assert load_query("analysis/neuron_influence") == load_query("neuron_influence")
    assert load_query("ingest/write_edges").folder == "ingest"


def test_an_unknown_name_gets_the_nearest_known_ones():
    with pytest.raises(AttrGraphError, match="no query 'top_influental_neurons'; did you mean top_influential_neurons"):
        load_query("top_influental_neurons")


def test_an_unknown_folder_gets_the_known_ones():
    with pytest.raises(AttrGraphError, match="known are analysis, export, import, ingest, lookup, schema"):
        load_query("anything/at_all")


def test_every_file_loads():
    for folder in query_folders():
        for name in query_names(folder):
            assert load_query(f"{folder}/{name}").title.endswith(".")


def test_files_that_need_graph_data_science_say_so_in_their_names_and_have_a_plain_form():
    for name in query_names("analysis"):
        assert load_query(name).needs_graph_data_science == name.endswith("_gds")
        if name.endswith("_gds"):
            assert tuple(load_query(name.removesuffix("_gds")).returns) == tuple(load_query(name).returns)


def test_schema_files_are_numbered_one_after_the_other():
    numbers = [int(name.partition("_")[0]) for name in query_names("schema")]
    assert numbers == list(range(1, len(numbers) + 1))
