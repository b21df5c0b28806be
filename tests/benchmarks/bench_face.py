"""What the gateway costs: the UI's own queries through it and straight to Dagster's webserver, side
by side, in turns, from one client and from several. Run it with ``make bench``.

Both serve the same deployment, each in a process of its own, as their commands start them, and
their answers are compared first. The UI repeats its queries, and the gateway keeps those it has
read;
*new* is the same query with a text that nobody sent before, for which nothing was kept.
"""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tests.integration.web_world import World, free_port, served_world

ROUNDS = 60
CLIENTS = 4
EACH = 40
QUERIES: dict[str, tuple[str, dict[str, Any]]] = {
    "version": ("{ version }", {}),
    "permissions": ("{ permissions { permission value disabledReason } }", {}),
    "location status": (
        (
            "query S { locationStatusesOrError { __typename ... on WorkspaceLocationStatusEntries "
            "{ entries { id name loadStatus updateTimestamp versionKey } } } }"
        ),
        {},
    ),
    "runs feed": (
        """query R($n: Int!) { runsOrError(limit: $n) { __typename ... on Runs { results {
          id runId status jobName tags { key value } startTime endTime canTerminate
          hasDeletePermission } } } }""",
        {"n": 25},
    ),
    "workspace": (
        """{ workspaceOrError { __typename ... on Workspace { locationEntries { id name
          permissions { permission value disabledReason }
          locationOrLoadError { __typename ... on RepositoryLocation { id name
            repositories { id name jobs { id name isAssetJob }
              assetNodes { id assetKey { path } hasMaterializePermission } } } } } } } }""",
        {},
    ),
}


NEW = "new: "
NAMES = (*QUERIES, f"{NEW}version", f"{NEW}workspace")
_number = itertools.count()


class Way:
    """One of the two addresses."""

    def __init__(self, address: str, headers: dict[str, str]) -> None:
        self.client = httpx.Client(base_url=address, headers=headers, timeout=60)

    def answer(self, name: str) -> Any:
        """The data that a query gets."""
        query, variables = QUERIES[name.removeprefix(NEW)]
        if name.startswith(NEW):
            query = f"{query} # {next(_number)}"
        answer = self.client.post("/graphql", json={"query": query, "variables": variables})
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def ask(self, name: str) -> float:
        """Milliseconds of one request."""
        start = time.perf_counter()
        self.answer(name)
        return (time.perf_counter() - start) * 1000


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder, served_world(Path(folder)) as world:
        port = free_port()
        plain = f"http://127.0.0.1:{port}"
        faced_port = free_port()
        command = [str(Path(sys.executable).with_name("dagster-webserver")), "-p", str(port)]
        gateway = [str(Path(sys.executable).with_name("ro")), "web", "--port", str(faced_port)]
        environment = {
            "PATH": "/usr/bin:/bin",
            "DAGSTER_HOME": str(world.root),
            "RO_ROOT": str(world.root),
            "RO_HOME": str(world.root / ".ro"),
            "PYTHONPATH": str(world.root),
        }
        with (
            subprocess.Popen(command, cwd=world.root, env=environment) as bare,
            subprocess.Popen(gateway, cwd=world.root, env=environment) as faced,
        ):
            try:
                _measure(world, plain, f"http://127.0.0.1:{faced_port}")
            finally:
                bare.terminate()
                faced.terminate()


def _measure(world: World, plain: str, faced: str) -> None:
    for address in (plain, faced):
        _until_up(address)
    bearer = {"Authorization": f"Bearer {world.tokens['HUMAN::operator']}"}
    bare, gateway = Way(plain, {}), Way(faced, bearer)
    for name in ("version", "runs feed"):
        assert bare.answer(name) == gateway.answer(name)
    print(f"{'one client':<16} {'plain ms':>9} {'gateway ms':>9} {'added ms':>9}  (aim: at most 5)")
    for name in NAMES:
        _print_latency(name, bare, gateway)
    print(
        f"{CLIENTS} clients          plain /s    gateway /s  plain / gateway  (aim: at most 1.10;"
    )
    print(f"{'':<40} below 1 the gateway is the faster one)")
    for name in ("version", "workspace", f"{NEW}version", f"{NEW}workspace"):
        pairs = [(_rate(plain, {}, name), _rate(faced, bearer, name)) for _ in range(5)]
        first, second = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(one / other for one, other in pairs)
        print(f"{name:<16} {first:>9.0f} {second:>10.0f} {ratio:>13.2f}")


def _print_latency(name: str, bare: Way, gateway: Way) -> None:
    for way in (bare, gateway):
        for _ in range(5):
            way.ask(name)
    pairs = [(bare.ask(name), gateway.ask(name)) for _ in range(ROUNDS)]
    medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
    added = statistics.median(second - first for first, second in pairs)
    print(f"{name:<16} {medians[0]:>9.1f} {medians[1]:>9.1f} {added:>9.1f}")


def _rate(address: str, headers: dict[str, str], name: str) -> float:
    """Answers a second."""
    ways = [Way(address, headers) for _ in range(CLIENTS)]
    start = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda way: [way.ask(name) for _ in range(EACH)], ways))
    return CLIENTS * EACH / (time.perf_counter() - start)


def _until_up(address: str) -> None:
    for _ in range(600):
        try:
            httpx.get(f"{address}/healthz")
            return
        except httpx.TransportError:
            time.sleep(0.2)
    raise SystemExit(f"{address} did not start")


if __name__ == "__main__":
    main()
