"""What is transient is tried again: two transactions of ours that lock the same runs in opposite order, for real; and
long lists are not spelled out for a log that nobody writes."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import neo4j
import pytest

from attrgraph_core.errors import AttrGraphError, UnreachableError
from attrgraph_core.store import database
from attrgraph_core.store.database import Database
from attrgraph_core.store.queries import load_query

pytestmark = pytest.mark.neo4j


@pytest.fixture
def run_ids(store, run_id):
    names = [f"{run_id}-{number}" for number in range(2)]
    for name in names:
        store.save_run(name, "deadlock", seed=0, config_hash="c", code_version="v")
    yield names
    for name in names:
        store.delete_run(name)


@pytest.fixture
def deadlocks(monkeypatch):
    """Statements that write the ends of runs wait for each other after their first run; gives when each was sent.

    Each of two transactions then holds what the other one wants, as often as they meet.
    """
    sent, whole, meeting = [], neo4j.ManagedTransaction.run, threading.Barrier(2)

    def run(self, text, parameters):
        if "row.status" in text:
            sent.append(time.monotonic())
            whole(self, text, {"rows": parameters["rows"][:1]}).consume()
            if len(sent) <= 2:
                meeting.wait(120)
        return whole(self, text, parameters)

    monkeypatch.setattr(neo4j.ManagedTransaction, "run", run)
    return sent


def end_both(neo4j_connection, run_ids):
    """Write statuses of both runs from two clients, in opposite order; what each ended with."""

    def write(order):
        own = Database(neo4j_connection)
        try:
            rows = [{"run_id": run_id, "status": order[0]} for run_id in order]
            return own.write("import/run_ends", rows=rows)
        except AttrGraphError as error:
            return str(error)
        finally:
            own.close()

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(write, (run_ids, run_ids[::-1])))


def test_of_two_writers_in_a_deadlock_one_is_tried_again_a_second_later(store, neo4j_connection, run_ids, deadlocks):
    assert end_both(neo4j_connection, run_ids) == [[{"written": 2}]] * 2
    assert len(deadlocks) == 3, "one of the two was tried again, once"
    assert deadlocks[2] - max(deadlocks[:2]) > 0.7  # the driver's first wait is a second, give or take a fifth
    ends = store.run_cypher("MATCH (run:Run) WHERE run.run_id IN $ids RETURN run.status AS s", {"ids": run_ids})["s"]
    assert len(set(ends)) == 1, "both runs have what the later of the two wrote"
    assert ends[0] in run_ids


def test_what_stays_transient_is_named_with_the_way_out(neo4j_connection, run_ids, deadlocks, monkeypatch):
    monkeypatch.setattr(database, "RETRY_SECONDS", 0.0)
    ended = end_both(neo4j_connection, run_ids)
    (refused,) = [each for each in ended if isinstance(each, str)]
    assert "was busy with another writer's work" in refused
    assert [{"written": 2}] in ended


def cut_once(monkeypatch, part: str) -> None:
    """The connection is taken for cut the first time that this part of a result is asked for."""
    whole, first = getattr(neo4j.Result, part), iter([True])

    def cut(self):
        if next(first, False):
            raise neo4j.exceptions.SessionExpired("cut")
        return whole(self)

    monkeypatch.setattr(neo4j.Result, part, cut)


def test_what_only_reads_is_asked_again_and_what_writes_is_not(store, monkeypatch):
    cut_once(monkeypatch, "keys")
    assert store._database.run("RETURN 7 AS seven", {}, read_only=True, timeout=60.0)["seven"].tolist() == [7]
    cut_once(monkeypatch, "consume")
    assert store._database.explain("RETURN 7 AS seven", {})["operatorType"].startswith("ProduceResults")
    cut_once(monkeypatch, "keys")
    with pytest.raises(UnreachableError):  # nobody knows how far it came
        store._database.run("CREATE (nothing) DELETE nothing RETURN 1 AS one", {}, read_only=False)


def test_values_of_long_lists_are_sent_and_never_spelled_out(store, run_ids):
    class Name(str):
        __slots__ = ()

        def __repr__(self):
            raise AssertionError("a value was spelled out")

    rows = store._database.write("lock_runs", run_ids=[Name(run_id) for run_id in run_ids])
    assert [row["run_id"] for row in rows] == run_ids
    asked = {"holder_id": "none", "layers": [Name("fc1")], "indices": [0]}
    assert store._database.read(load_query("lookup/missing_states"), asked)["name"].tolist() == ["fc1/0"]
