"""What the face costs: the UI's own queries through it and straight to Dagster's webserver, side by
side, in turns, from one client and from several. Run it with ``make bench``."""

from __future__ import annotations

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


class Way:
    """One of the two addresses."""

    def __init__(self, address: str, headers: dict[str, str]) -> None:
        self.client = httpx.Client(base_url=address, headers=headers, timeout=60)

    def ask(self, query: str, variables: dict[str, Any]) -> float:
        """Milliseconds of one request."""
        start = time.perf_counter()
        answer = self.client.post("/graphql", json={"query": query, "variables": variables})
        assert answer.status_code == 200, answer.text
        return (time.perf_counter() - start) * 1000


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder, served_world(Path(folder)) as world:
        port = free_port()
        plain = f"http://127.0.0.1:{port}"
        faced_port = free_port()
        command = [str(Path(sys.executable).with_name("dagster-webserver")), "-p", str(port)]
        face = [str(Path(sys.executable).with_name("ro")), "web", "--port", str(faced_port)]
        environment = {
            "PATH": "/usr/bin:/bin",
            "DAGSTER_HOME": str(world.root),
            "RO_ROOT": str(world.root),
            "RO_HOME": str(world.root / ".ro"),
            "PYTHONPATH": str(world.root),
        }
        with (
            subprocess.Popen(command, cwd=world.root, env=environment) as bare,
            subprocess.Popen(face, cwd=world.root, env=environment) as faced,
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
    bare, face = Way(plain, {}), Way(faced, bearer)
    print(f"{'query':<16} {'plain ms':>9} {'face ms':>9} {'added ms':>9}")
    for name, (query, variables) in QUERIES.items():
        for way in (bare, face):
            for _ in range(5):
                way.ask(query, variables)
        pairs = [(bare.ask(query, variables), face.ask(query, variables)) for _ in range(ROUNDS)]
        medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
        added = statistics.median(second - first for first, second in pairs)
        print(f"{name:<16} {medians[0]:>9.1f} {medians[1]:>9.1f} {added:>9.1f}")
    for name in ("version", "workspace"):
        rates: dict[str, list[float]] = {"plain": [], "face": []}
        for _ in range(3):
            rates["plain"].append(_rate(plain, {}, name))
            rates["face"].append(_rate(faced, bearer, name))
        least = {way: statistics.median(values) for way, values in rates.items()}
        ratio = least["plain"] / least["face"]
        print(
            f"{CLIENTS} clients, {name}: {least['plain']:.0f}/s plain, {least['face']:.0f}/s "
            f"faced, ratio {ratio:.2f}"
        )


def _rate(address: str, headers: dict[str, str], name: str) -> float:
    query, variables = QUERIES[name]
    ways = [Way(address, headers) for _ in range(CLIENTS)]
    start = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda way: [way.ask(query, variables) for _ in range(EACH)], ways))
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
