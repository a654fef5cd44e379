"""Whatever text reaches the store is data: it comes back as it was, and nothing else happens."""

import dataclasses

import pytest

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.graph_ids import LONGEST_NAME_BYTES
from attrgraph_core.targeting.neuron_set import NeuronSet

pytestmark = pytest.mark.neo4j

HOSTILE = {
    "quote": "' OR true MATCH (n) DETACH DELETE n //",
    "double_quote": '"}) DETACH DELETE n //',
    "backtick": "`}) MATCH (n) DETACH DELETE n //`",
    "escape": "\\u0027 RETURN 1 \\",
    "parameter": "$run_id {run_id} %s {0}",
    "newline": "one\ntwo\r\n\tthree\0four",
    "unicode": "nöm 名前 🧠 \u202e ﷽",
    "long": "x" * LONGEST_NAME_BYTES,
}
TEXTS = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())


@pytest.fixture
def others(store):
    """What the database holds beside the test's own; it must be the same afterwards."""
    before = store.counts()
    yield
    assert store.counts() == before


@TEXTS
@pytest.mark.usefixtures("others")
def test_every_text_comes_back_as_it_was(store, graph, text):
    run_id = text.replace("/", "|").strip()
    hostile = dataclasses.replace(
        graph,
        neurons=graph.neurons.assign(layer=graph.neurons["layer"].replace("fc1", text)),
        edges=graph.edges.assign(
            source_layer=graph.edges["source_layer"].replace("fc1", text),
            target_layer=graph.edges["target_layer"].replace("fc1", text),
        ),
        method=text,
        target=text,
        baseline=text,
    )
    try:
        store.save_run(run_id, text, 0, text, text, status=text, configuration={text: text}, dagster_run_id=text)
        store.save_stage(run_id, 1, text, **{text.replace("\0", ""): text})  # a property's name has no null
        saved = store.save(hostile, run_id=run_id, stage=1, epoch=0, edge_mass=1.0)
        found = store.graph(saved.graph_id)
        assert (found.method, found.target, found.baseline) == (text, text, text)
        assert found.neurons["layer"].tolist() == hostile.neurons["layer"].tolist()
        assert found.edges["source_layer"].tolist() == hostile.edges["source_layer"].tolist()
        table = store.query("neuron_influence", graph_id=saved.graph_id)
        circuit_id = store.save_circuit(saved.graph_id, "neuron_influence", {text: text}, table)
        chosen = NeuronSet({text: (0,)}, text, 0.5)
        store.save_training(run_id, 1, store.save_neuron_set([circuit_id], chosen, run_id=run_id))
        (row,) = store.query("choosing_query", stage_id=f"{run_id}/stage_1").to_dict("records")
        assert (row["policy"], row["graph_id"]) == (text, saved.graph_id)
        properties, stages = store.describe_run(run_id)
        assert {properties[name] for name in ("config_hash", "code_version", "status", "experiment")} == {text}
        assert properties["configuration"] == {text: text}
        assert stages["kind"].tolist() == [text]
        store.annotate_run(run_id, note=text)
        assert store.describe_run(run_id)[0]["note"] == text
        assert store.runs(experiment=text)["run_id"].tolist() == [run_id]
        assert len(store.run_cypher("MATCH (r:Run {note: $text}) RETURN r", {"text": text})) == 1
    finally:
        store.delete_run(run_id)


@pytest.mark.parametrize(
    ("what", "text"),
    [
        *((what, "x" * 10_000) for what in ("run_id", "experiment", "method", "target", "layer")),
        *(
            (what, "half \ud800 a sign") for what in ("run_id", "experiment", "method", "target")
        ),  # pandas refuses others
    ],
)
@pytest.mark.usefixtures("others")
def test_what_cannot_be_kept_is_refused_before_anything_is_written(store, graph, what, text):
    if what == "layer":
        graph = dataclasses.replace(
            graph,
            neurons=graph.neurons.assign(layer=graph.neurons["layer"].replace("fc2", text)),
            edges=graph.edges.assign(target_layer=graph.edges["target_layer"].replace("fc2", text)),
        )
    elif what in ("method", "target"):
        graph = dataclasses.replace(graph, **{what: text})
    names = {"run_id": text} if what == "run_id" else {"run_id": "hostile"}
    message = f"{what} .*(has 10000 bytes; 1000 are the most|half a sign of Unicode)"
    if what == "experiment":
        with pytest.raises(AttrGraphError, match=message):
            store.save_run("hostile", text, 0, "c", "v")
    else:
        with pytest.raises(AttrGraphError, match=message):
            store.save(graph, stage=1, epoch=0, **names)


@TEXTS
def test_a_parameter_of_ones_own_cypher_is_data(store, text):
    assert store.run_cypher("RETURN $text AS text", {"text": text})["text"].tolist() == [text]


def test_ones_own_cypher_has_a_limit_of_time_and_of_rows(store):
    long = "UNWIND range(1, 100000000) AS a WITH a WHERE a % 2 = 0 RETURN sum(sqrt(a)) AS sum"
    with pytest.raises(AttrGraphError, match=r"took too long; nothing was changed\. Ask for less"):
        store.run_cypher(long, timeout=0.5)
    with pytest.raises(AttrGraphError, match="gives more than 10 rows; add a LIMIT"):
        store.run_cypher("UNWIND range(1, 11) AS a RETURN a", max_rows=10)
    assert len(store.run_cypher("UNWIND range(1, 10) AS a RETURN a", max_rows=10)) == 10
    assert len(store.run_cypher("UNWIND range(1, 100001) AS a RETURN a", max_rows=None)) == 100_001
