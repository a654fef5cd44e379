"""Every format: a small file read into literal rows, a round trip, and errors that name the field."""

import json

import networkx as nx
import pandas as pd
import pytest

from attrgraph_core import AttrGraphError
from attrgraph_core.graph.canonical_graph import canonical_graph
from attrgraph_core.interchange.eap_ig import read_eap_ig
from attrgraph_core.interchange.formats import FORMATS, export_graph, import_graph
from attrgraph_core.interchange.networkx_graph import from_networkx, to_networkx
from attrgraph_core.interchange.tables import edge_rows, neuron_rows
from tests.random_graphs import make_random_graph

SUMMIT = {
    "mixed5b": [
        {"channel": 5, "count": 146, "layer": "mixed5b", "pagerank": 0.0005,
         "prev_channels": [{"prev_channel": 11, "inf": 95}, {"prev_channel": 601, "inf": 859}],
         "attr_channels": [{"prev_channel": "776", "inf": 1274}]},
    ],
    "mixed5a": [
        {"channel": 11, "count": 537, "layer": "mixed5a", "pagerank": 0.0039,
         "prev_channels": [{"prev_channel": 346, "inf": 1196}], "attr_channels": []},
        {"channel": 601, "count": 463, "layer": "mixed5a", "pagerank": 0.0036, "prev_channels": [],
         "attr_channels": []},
    ],
    "mixed4e": [
        {"channel": 346, "count": 829, "layer": "mixed4e", "pagerank": 0.0029, "prev_channels": [],
         "attr_channels": []},
    ],
}  # fmt: skip
TRACER = {
    "metadata": {"slug": "dallas", "scan": "gemma-2-2b", "transcoder_list": [], "prompt_tokens": ["a", "b"],
                 "prompt": "a b", "node_threshold": 0.8, "schema_version": 1},
    "qParams": {"pinnedIds": [], "supernodes": [], "linkType": "both", "clickedId": "", "sg_pos": ""},
    "nodes": [
        {"node_id": "E_42_0", "feature": 0, "layer": "E", "ctx_idx": 0, "feature_type": "embedding",
         "jsNodeId": "E_42-0", "influence": 0.5},
        {"node_id": "10_7_1", "feature": 160, "layer": "10", "ctx_idx": 1,
         "feature_type": "cross layer transcoder", "jsNodeId": "10_7-0", "influence": 0.25, "activation": 3.0},
        {"node_id": "2_7_1", "feature": 52, "layer": "2", "ctx_idx": 1, "feature_type": "cross layer transcoder",
         "jsNodeId": "2_7-0", "influence": 0.25, "activation": 1.0},
        {"node_id": "2_-1_1", "feature": -1, "layer": "2", "ctx_idx": 1, "feature_type": "mlp reconstruction error",
         "jsNodeId": "2_-1-1", "influence": 0.125},
        {"node_id": "27_900_1", "feature": 900, "layer": "27", "ctx_idx": 1, "feature_type": "logit",
         "token_prob": 0.75, "is_target_logit": True, "jsNodeId": "L_900-1", "clerp": "Output"},
    ],
    "links": [
        {"source": "E_42_0", "target": "2_7_1", "weight": 4.0},
        {"source": "2_7_1", "target": "10_7_1", "weight": -2.0},
        {"source": "2_-1_1", "target": "10_7_1", "weight": 1.5},
        {"source": "10_7_1", "target": "27_900_1", "weight": 3.0},
    ],
}  # fmt: skip
EAP = {
    "cfg": {"n_layers": 1, "n_heads": 2, "parallel_attn_mlp": False, "d_model": 8},
    "nodes": {"logits": {"in_graph": True}, "input": {"in_graph": True}, "a0.h0": {"in_graph": True, "score": 0.5},
              "a0.h1": {"in_graph": False, "score": float("nan")}, "m0": {"in_graph": True}},
    "edges": {
        "input->a0.h0<q>": {"score": 1.0, "in_graph": True}, "input->a0.h0<k>": {"score": -2.0, "in_graph": True},
        "input->a0.h0<v>": {"score": 4.0, "in_graph": False}, "a0.h0->m0": {"score": 0.25, "in_graph": True},
        "m0->logits": {"score": -1.0, "in_graph": True}, "a0.h1->logits": {"score": 0.125, "in_graph": False},
    },
}  # fmt: skip


def written(tmp_path, content, name="graph.json"):
    path = tmp_path / name
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_summit_is_read_from_the_inputs_on(tmp_path):
    graph = import_graph(written(tmp_path, SUMMIT, "ag-270.json"))
    assert (graph.method, graph.target) == ("summit", "class:270")
    assert neuron_rows(graph) == [
        ("mixed4e", 346, "input", 829.0, 829.0), ("mixed5a", 11, "channel", 537.0, 537.0),
        ("mixed5a", 601, "channel", 463.0, 463.0), ("mixed5b", 5, "output", 146.0, 146.0),
    ]  # fmt: skip
    assert edge_rows(graph) == [
        ("mixed4e", 346, "mixed5a", 11, 1196.0, 1196.0), ("mixed5a", 11, "mixed5b", 5, 95.0, 95.0),
        ("mixed5a", 601, "mixed5b", 5, 859.0, 859.0),
    ]  # fmt: skip


def test_circuit_tracers_nodes_are_by_layer_and_position(tmp_path):
    graph = import_graph(written(tmp_path, TRACER))
    assert neuron_rows(graph) == [
        ("E@0", 42, "input", 0.5, 0.5), ("2.error@1", 0, "input", 0.125, 0.125), ("2@1", 7, "unit", 0.25, 0.25),
        ("10@1", 7, "unit", 0.25, 0.25), ("27@1", 900, "output", 0.75, 0.75),
    ]  # fmt: skip
    assert edge_rows(graph) == [
        ("E@0", 42, "2@1", 7, 4.0, 4.0), ("2.error@1", 0, "10@1", 7, 1.5, 1.5), ("2@1", 7, "10@1", 7, -2.0, 2.0),
        ("10@1", 7, "27@1", 900, 3.0, 3.0),
    ]  # fmt: skip


def test_eap_igs_edges_into_a_head_are_one(tmp_path):
    path = written(tmp_path, EAP)
    graph = import_graph(path)
    assert neuron_rows(graph) == [
        ("input", 0, "input", 0.0, 0.0), ("a0", 0, "head", 0.5, 0.5), ("a0", 1, "head", 0.0, 0.0),
        ("m0", 0, "unit", 0.0, 0.0), ("logits", 0, "output", 0.0, 0.0),
    ]  # fmt: skip
    assert edge_rows(graph) == [
        ("input", 0, "a0", 0, 3.0, 7.0), ("a0", 0, "m0", 0, 0.25, 0.25), ("a0", 1, "logits", 0, 0.125, 0.125),
        ("m0", 0, "logits", 0, -1.0, 1.0),
    ]  # fmt: skip
    assert edge_rows(read_eap_ig(path, circuit_only=True))[0] == ("input", 0, "a0", 0, -1.0, 3.0)


def test_a_format_of_everything_gives_back_the_same(tmp_path):
    graph = canonical_graph(make_random_graph(0, density=0.6, target="class:1")).graph
    for name in ("graphml", "parquet"):
        path = tmp_path / f"graph.{name}"
        assert export_graph(graph, path) == name
        assert_same(import_graph(path), graph)
    assert_same(from_networkx(to_networkx(graph)), graph)


def test_parquet_keeps_the_totals_of_edges_that_are_not_there(tmp_path):
    graph = make_random_graph(0)
    graph.neurons["total_in"], graph.neurons["total_out"] = 2.0, 3.0
    export_graph(graph, tmp_path / "graph.parquet")
    assert import_graph(tmp_path / "graph.parquet").neurons["total_out"].unique().tolist() == [3.0]
    assert len(pd.read_parquet(tmp_path / "graph.parquet")) == len(graph.edges)  # an ordinary table, too


def test_circuit_tracers_gives_back_all_but_abs_weight(tmp_path):
    graph = canonical_graph(make_random_graph(0, density=0.6)).graph
    path = tmp_path / "graph.json"
    export_graph(graph, path, "circuit_tracer")
    back = import_graph(path)
    assert neuron_rows(back) == neuron_rows(graph)
    assert [row[:5] for row in edge_rows(back)] == [row[:5] for row in edge_rows(graph)]
    assert (back.method, back.target, back.baseline) == ("deeplift", "label", "zeros")
    fields = {"node_id", "feature", "layer", "ctx_idx", "feature_type", "jsNodeId", "clerp", "influence"}
    assert fields <= set(json.loads(path.read_text())["nodes"][0])


@pytest.mark.parametrize(("name", "content"), [("summit", SUMMIT), ("eap_ig", EAP), ("circuit_tracer", TRACER)])
def test_what_was_read_of_another_tool_can_be_written_for_it_again(tmp_path, name, content):
    graph = import_graph(written(tmp_path, content))
    again = tmp_path / "again.json"
    export_graph(graph, again, name)
    back = import_graph(again)
    assert neuron_rows(back) == neuron_rows(graph)
    assert [row[:4] for row in edge_rows(back)] == [row[:4] for row in edge_rows(graph)]
    assert [row[4] for row in edge_rows(back)] == pytest.approx([row[4] for row in edge_rows(graph)])


def assert_same(found, graph):
    assert neuron_rows(found) == neuron_rows(graph)
    assert edge_rows(found) == edge_rows(graph)
    for name in ("method", "target", "baseline", "sample_count", "completeness_delta"):
        assert getattr(found, name) == getattr(graph, name)


def changed(content, *place, value=None):
    """A copy with one field changed, or without it."""
    copy = json.loads(json.dumps(content))
    *way, last = place
    inner = copy
    for part in way:
        inner = inner[part]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return copy


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed(SUMMIT, "mixed5a", 0, "channel"), r"mixed5a\[0\] has no field 'channel'"),
        (changed(SUMMIT, "mixed5a", 0, "count", value="many"), r"mixed5a\[0\].count is \"many\", not a finite number"),
        (changed(SUMMIT, "mixed4e", 0, "prev_channels", value=[{"prev_channel": 1, "inf": 2}]),
         r"mixed4e\[0\].prev_channels\[0\] is a previous channel in the last layer"),
        (changed(SUMMIT, "mixed5b", 0, "prev_channels", 0, "prev_channel", value=12), "neuron mixed5a/12, which"),
        (changed(SUMMIT, "mixed5b", value=3), "mixed5b is 3, not a list"),
        (changed(TRACER, "metadata", "schema_version", value=2), "schema_version is 2; schema version 1 is known"),
        (changed(TRACER, "links", 3, "weight"), r"links\[3\] has no field 'weight'"),
        (changed(TRACER, "links", 0, "target", value="9_9_9"), r"links\[0\].target is '9_9_9', which is no node"),
        (changed(TRACER, "nodes", 1, "node_id", value="E_42_0"), r"nodes\[1\].node_id is 'E_42_0', which another"),
        (changed(TRACER, "nodes", 1, "node_id", value="x"), r"nodes\[1\].node_id is 'x', not <layer>_<feature>_"),
        (changed(TRACER, "links"), "the file has no field 'links'"),
        (changed(EAP, "cfg", "n_heads", value="two"), 'cfg.n_heads is "two", not a whole number'),
        (changed(EAP, "nodes", "m0"), "edges.a0.h0->m0 joins no two nodes"),
        (changed(EAP, "nodes", "b3", value={"in_graph": True}), "nodes.b3 is no node"),
        (changed(EAP, "edges", "m0->logits", "score", value=[]), r"edges.m0->logits.score is \[\], not a finite"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_by_its_field(tmp_path, content, message):
    with pytest.raises(AttrGraphError, match=message):
        import_graph(written(tmp_path, content))


def test_files_that_are_something_else(tmp_path):
    (tmp_path / "no.json").write_text("{")
    (tmp_path / "empty.json").write_text("{}")
    (tmp_path / "no.graphml").write_text("<graph>")
    (tmp_path / "no.parquet").write_text("x")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "table.parquet")
    nx.write_graphml(nx.DiGraph([("a", "b")]), tmp_path / "other.graphml")
    for name, message in [
        ("no.json", "is no JSON"), ("no.graphml", "is no GraphML"), ("no.parquet", "is no Parquet file"),
        ("table.parquet", "has no metadata 'attrgraph'"), ("other.graphml", "node 'a' has no 'layer'"),
        ("gone.json", "there is no file"), ("empty.json", "empty.json: no layer of the file has a channel"),
    ]:  # fmt: skip
        with pytest.raises(AttrGraphError, match=message):
            import_graph(tmp_path / name)


def test_a_graph_that_a_format_has_no_place_for(tmp_path):
    graph = make_random_graph(0)  # it leaps over a layer
    with pytest.raises(AttrGraphError, match="joins neighbouring layers only; an edge leads from fc1 to fc3"):
        export_graph(graph, tmp_path / "ag-1.json")  # SUMMIT's by its name
    with pytest.raises(AttrGraphError, match="input/1 has no place in EAP-IG's format"):
        export_graph(graph, tmp_path / "graph.json", "eap_ig")
    with pytest.raises(AttrGraphError, match="three formats are JSON"):
        export_graph(graph, tmp_path / "graph.json")
    with pytest.raises(AttrGraphError, match=r"the format of graph\.txt is unknown"):
        export_graph(graph, tmp_path / "graph.txt")
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_has_the_same_formats():
    from attrgraph_cli.graph import Format

    assert [format.value for format in Format] == list(FORMATS)
