"""Statements on one server, and what goes wrong with them in words that a user can act on."""

import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, LiteralString, Protocol, TypeVar, cast

import neo4j
import pandas as pd
from neo4j.exceptions import DriverError, Neo4jError

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.connection import CONNECTION_TIMEOUT_SECONDS, Connection, describe_driver_error
from attrgraph_core.store.cypher_query import CypherQuery
from attrgraph_core.store.parameters import check_parameters
from attrgraph_core.store.queries import load_query

RETRY_SECONDS = 30.0  # of what is transient: a deadlock, a leader that changes; waits grow from one second

Folded = TypeVar("Folded")
Result = TypeVar("Result")
Rows = list[dict[str, Any]]


class Write(Protocol):
    """Runs a query of `cypher/ingest/`, as `Database.write`."""

    def __call__(self, name: str, **parameters: Any) -> Rows: ...


class Database:
    """A server's user database. Every method raises AttrGraphError for what the server or the way to it refuses."""

    def __init__(self, connection: Connection):
        self.connection = connection
        self._has_graph_data_science: bool | None = None
        try:
            self.driver = neo4j.GraphDatabase.driver(
                connection.uri,
                auth=(connection.user, connection.password),
                connection_timeout=CONNECTION_TIMEOUT_SECONDS,
                max_transaction_retry_time=RETRY_SECONDS,
                # A label that nothing carries yet is no news on a database that fills.
                notifications_min_severity=neo4j.NotificationMinimumSeverity.OFF,
            )
        except (DriverError, Neo4jError, ValueError, OSError) as error:
            raise describe_driver_error(error, connection) from error

    def close(self) -> None:
        self.driver.close()

    def write(self, name: str, **parameters: Any) -> Rows:
        """Run a query of `cypher/ingest/`, or `<folder>/<name>` of another one, in one transaction; its rows."""
        return self.write_together(lambda write: write(name, **parameters))

    def write_together(self, work: Callable[[Write], Result]) -> Result:
        """What `work` gives, which is handed `write`: all that it writes is one transaction, nothing where it raises.

        It is called again where the transaction is tried again.
        """

        def transact(transaction: neo4j.ManagedTransaction) -> Result:
            def write(name: str, **parameters: Any) -> Rows:
                text = load_query(name if "/" in name else f"ingest/{name}").text
                return transaction.run(cast(LiteralString, text), _sent(parameters)).data()

            return work(write)

        try:
            with self.driver.session() as session:
                return session.execute_write(transact)
        except (DriverError, Neo4jError, OSError) as error:
            raise describe_driver_error(error, self.connection) from error

    def write_until_none(self, name: str, **parameters: Any) -> None:
        """Run a query that does a batch of its work, and returns how much it did, until there is nothing left to do."""
        while next(iter(self.write(name, **parameters)[0].values())):
            pass

    def read(
        self, query: CypherQuery, parameters: Mapping[str, Any], computed: list[dict[str, Any]] | None = None
    ) -> pd.DataFrame:
        """The rows of a query as a table, in columns of the types that its header says.

        `computed` are the rows of its `@computed` line, if it has one.
        A parameter `projection` that is not given gets a name of its own, and a projection left behind is dropped.
        """
        asked = dict(parameters)
        projection = None
        if query.needs_graph_data_science:
            self._need_graph_data_science(query)
            if "projection" in query.params and "projection" not in asked:
                projection = asked["projection"] = f"attrgraph-{uuid.uuid4().hex}"
        values = check_parameters(query, asked)
        if query.computed is not None:
            values[query.computed.name] = computed
        values = _sent(values)

        def work(transaction: neo4j.ManagedTransaction) -> tuple[list[str], list[list[Any]]]:
            text = query.in_one_record if query.is_bulk else query.text
            result = transaction.run(cast(LiteralString, text), values)
            if query.is_bulk:
                return list(query.returns), result.single(strict=True)["rows"]
            return list(result.keys()), result.values()

        try:
            with self.driver.session(default_access_mode=neo4j.READ_ACCESS) as session:
                columns, rows = session.execute_read(work)
        except (DriverError, Neo4jError, OSError) as error:
            if projection is not None:
                self._drop_projection(projection)
            raise describe_driver_error(error, self.connection) from error
        return _typed(query, _table(columns, rows))

    def explain(self, text: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The plan of any Cypher statement as the driver gives it: operatorType, args, children. Nothing is run."""

        def work(transaction: neo4j.ManagedTransaction) -> dict[str, Any] | None:
            return transaction.run(cast(LiteralString, f"EXPLAIN {text}"), dict(parameters)).consume().plan

        try:
            with self.driver.session(default_access_mode=neo4j.READ_ACCESS) as session:
                plan = session.execute_read(work)
        except (DriverError, Neo4jError, OSError) as error:
            raise describe_driver_error(error, self.connection) from error
        return dict(plan or {})

    def fold(
        self, query: CypherQuery, parameters: Mapping[str, Any], work: Callable[[Iterator[neo4j.Record]], Folded]
    ) -> Folded:
        """What `work` makes of a query's records while they come; it is called again where the query is tried again."""
        values = check_parameters(query, parameters)

        def transact(transaction: neo4j.ManagedTransaction) -> Folded:
            return work(iter(transaction.run(cast(LiteralString, query.text), values)))

        try:
            with self.driver.session(default_access_mode=neo4j.READ_ACCESS) as session:
                return session.execute_read(transact)
        except (DriverError, Neo4jError, OSError) as error:
            raise describe_driver_error(error, self.connection) from error

    def run(
        self,
        text: str,
        parameters: Mapping[str, Any],
        read_only: bool,
        timeout: float | None = None,
        max_rows: int | None = None,
    ) -> pd.DataFrame:
        """Run any Cypher in a transaction of its own; nodes and relationships of the result become dictionaries.

        What only reads is tried again where the error is transient. What writes is run once: the server would refuse
        `CALL ... IN TRANSACTIONS` in a transaction that can be tried again, and a part of it may be committed.
        Raises AttrGraphError where it takes longer than `timeout` seconds or gives more than `max_rows` rows.
        """

        def rows_of(result: neo4j.Result) -> tuple[list[str], list[list[Any]]]:
            columns = list(result.keys())
            rows: list[list[Any]] = []
            for record in result:
                if max_rows is not None and len(rows) == max_rows:
                    raise AttrGraphError(
                        f"the statement gives more than {max_rows:,} rows; add a LIMIT to it, or allow more: "
                        "max_rows=..., on the command line --max-rows N"
                    )
                rows.append([_plain(value) for value in record.values()])
            return columns, rows

        @neo4j.unit_of_work(timeout=timeout)
        def read(transaction: neo4j.ManagedTransaction) -> tuple[list[str], list[list[Any]]]:
            return rows_of(transaction.run(cast(LiteralString, text), dict(parameters)))

        mode = neo4j.READ_ACCESS if read_only else neo4j.WRITE_ACCESS
        try:
            with self.driver.session(default_access_mode=mode) as session:
                if read_only:
                    columns, rows = session.execute_read(read)
                else:
                    query = neo4j.Query(cast(LiteralString, text), timeout=timeout)
                    columns, rows = rows_of(session.run(query, dict(parameters)))
        except (DriverError, Neo4jError, OSError) as error:
            if read_only and getattr(error, "code", None) == "Neo.ClientError.Statement.AccessMode":
                raise AttrGraphError(
                    "this statement writes, and it was run read-only; nothing was changed. Allow it to write "
                    "(read_only=False, on the command line --write) if you mean it"
                ) from error
            raise describe_driver_error(error, self.connection) from error
        return _table(columns, rows)

    def _need_graph_data_science(self, query: CypherQuery) -> None:
        if self._has_graph_data_science is None:
            found = self.read(load_query("lookup/has_graph_data_science"), {})
            self._has_graph_data_science = bool(found["is_there"].iloc[0])
        if not self._has_graph_data_science:
            raise AttrGraphError(
                f"query {query.name!r} needs Graph Data Science, which the server at {self.connection.uri} has not; "
                f"ask {query.name.removesuffix('_gds')!r} instead"
            )

    def _drop_projection(self, projection: str) -> None:
        try:
            with self.driver.session(default_access_mode=neo4j.READ_ACCESS) as session:
                text = load_query("lookup/drop_projection").text
                session.run(cast(LiteralString, text), {"projection": projection}).consume()
        except (DriverError, Neo4jError, OSError):
            pass  # the error that led here says more


class _Values(list[Any]):
    """Values of one parameter. The driver spells out all parameters for its log, whether it is written or not; of long
    lists that takes longer than to pack and send them."""

    def __repr__(self) -> str:
        return f"<{len(self)} values>"


def _sent(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _Values(value) if isinstance(value, list) else value for name, value in parameters.items()}


def _table(columns: list[str], rows: list[list[Any]]) -> pd.DataFrame:
    if not rows:
        return pd.DataFrame(columns=columns)
    return pd.DataFrame(dict(zip(columns, zip(*rows, strict=True), strict=True)))


def _typed(query: CypherQuery, table: pd.DataFrame) -> pd.DataFrame:
    """Empty tables and columns of whole floats would otherwise have no type, or another one."""
    types = {"INTEGER": "int64", "FLOAT": "float64", "STRING": "str", "BOOLEAN": "bool"}
    wanted = {name: types[column.type] for name, column in query.returns.items() if column.type in types}
    return table.astype(
        {name: kind for name, kind in wanted.items() if kind == "float64" or not table[name].isna().any()}
    )


def _plain(value: Any) -> Any:
    if isinstance(value, neo4j.graph.Path):
        return [_plain(part) for pair in zip(value.nodes, (*value.relationships, None), strict=True) for part in pair][
            :-1
        ]
    if isinstance(value, neo4j.graph.Node):
        return {"labels": sorted(value.labels), **{name: _plain(part) for name, part in value.items()}}
    if isinstance(value, neo4j.graph.Relationship):
        return {"type": value.type, **{name: _plain(part) for name, part in value.items()}}
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value.to_native() if hasattr(value, "to_native") else value
