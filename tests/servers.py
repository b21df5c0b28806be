"""Real servers for tests: started on a free port in a temporary folder, gone when the tests end.

Without its package a server's tests are skipped; with RO_REQUIRE_SERVERS=1 they fail instead.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psycopg2
import pytest

SETTINGS = """
listen_addresses = '127.0.0.1'
max_connections = 300
shared_buffers = 64MB
lc_messages = 'C'
synchronous_commit = off
log_min_messages = fatal
"""
# What the tests of this machine's crash need not survive.
CARELESS = "fsync = off\nfull_page_writes = off\nautovacuum = off\n"


@dataclass(frozen=True)
class PostgresServer:
    """One running server, for as long as its fixture holds it."""

    folder: Path
    port: int

    def url(self, database: str = "postgres", *, port: int | None = None) -> str:
        """A URL over loopback, by way of another port if one is given."""
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{database}"

    def socket_url(self, database: str) -> str:
        """A URL over the socket in the server's folder."""
        return f"postgresql://postgres@/{database}?host={self.folder}&port={self.port}"

    def execute(self, *statements: str, database: str = "postgres") -> list[Any]:
        """What a superuser would do, each statement by itself; the last one's rows."""
        found: list[Any] = []
        with closing(psycopg2.connect(self.url(database))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                    found = cursor.fetchall() if cursor.description else []
        return found

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._control("start", "-l", str(self.folder / "log"))

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; ``immediate`` is a crash."""
        self._control("stop", "-m", mode)

    def _control(self, *words: str) -> None:
        run("pg_ctl", "-D", str(self.folder / "data"), "-w", "-s", *words)


class TcpProxy:
    """Passes bytes between clients and a local server until it is told to lose some.

    ``request``: cut the connection instead of passing on what holds ``at``. ``reply``: pass it on,
    and cut when the answer comes. ``silence``: pass nothing on any more, and cut nothing.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets = [self._listener]
        self._fault, self._at, self._left = "", b"", 0
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, fault: str, *, at: bytes, times: int = 1) -> None:
        """Do so the next times that a client sends ``at``."""
        self._fault, self._at, self._left = fault, at, times

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._sockets:
            _cut(one)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", self._server_port))
                self._sockets += [client, server]
                lost = threading.Event()
                for source, target, asks in ((client, server, True), (server, client, False)):
                    work = (source, target, lost, asks)
                    threading.Thread(target=self._pass, args=work, daemon=True).start()

    def _pass(
        self, source: socket.socket, target: socket.socket, lost: threading.Event, asks: bool
    ) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                fault = ""
                if asks and self._left and self._at in data:
                    self._left, fault = self._left - 1, self._fault
                    lost.set()
                if fault == "silence":
                    return
                if fault == "request" or (lost.is_set() and not asks):
                    break
                target.sendall(data)
        _cut(source)
        _cut(target)


def _cut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


class Databases:
    """Databases without a ledger. Making one takes longer than clearing it, so they come back."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self._free: list[str] = []
        self._made = 0

    def take(self) -> str:
        """The name of one that nobody uses."""
        if not self._free:
            self._made += 1
            self._free.append(f"ledger_{self._made}")
            self.server.execute(f"CREATE DATABASE {self._free[-1]}")
        return self._free.pop()

    def give_back(self, name: str) -> None:
        """Nobody is connected to it any more."""
        self.server.execute("DROP SCHEMA IF EXISTS ro_ledger CASCADE", database=name)
        self._free.append(name)


@contextmanager
def postgres_server(settings: str = "") -> Iterator[PostgresServer]:
    """A fresh server, which only the role ``locked`` needs a password for.

    Skips or fails where PostgreSQL is not installed.
    """
    require("pg_ctl", "postgresql")
    folder = Path(tempfile.mkdtemp(prefix="ro-postgres-"))
    server = PostgresServer(folder, free_port())
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        data = str(folder / "data")
        run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        with (folder / "data" / "postgresql.conf").open("a") as conf:
            conf.write(SETTINGS + settings)
            conf.write(f"port = {server.port}\nunix_socket_directories = '{folder}'\n")
        hba = folder / "data" / "pg_hba.conf"
        hba.write_text(f"host all locked all scram-sha-256\n{hba.read_text()}")
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def require(program: str, package: str) -> None:
    """Skip the test that asks, or fail it if servers are required."""
    if binary(program) is None:
        said = f"{program} is not here: install the Debian package {package}"
        if os.environ.get("RO_REQUIRE_SERVERS") == "1":
            pytest.fail(said)
        pytest.skip(said)


def binary(program: str) -> str | None:
    """A PostgreSQL program: on the path, or the newest where Debian keeps them."""
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name)
    )
    return shutil.which(program) or shutil.which(
        program, path=os.pathsep.join(str(folder) for folder in reversed(folders))
    )


def run(program: str, *words: str) -> None:
    """Run it; the server's programs refuse to be root, so for root as the user ``postgres``."""
    found = binary(program)
    assert found is not None
    as_postgres: dict[str, Any] = {}
    if os.geteuid() == 0:
        as_postgres = {"user": "postgres", "group": "postgres", "extra_groups": []}
    # pg_ctl leaves the server its output: pipes would never end.
    subprocess.run(
        [found, *words],
        check=True,
        cwd="/",
        stdout=subprocess.DEVNULL,
        timeout=60,
        **as_postgres,
    )
