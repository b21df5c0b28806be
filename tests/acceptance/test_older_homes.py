"""What an older release wrote stays true: its home is opened, verified and continued.

Each kept home (tests/fixtures/homes) is unpacked, with its ledger in SQLite or restored into a real
PostgreSQL server, and everything is done by the commands of today.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.product import ROOT, Deployment
from tests.archives import unpack
from tests.servers import PostgresServer, binary, postgres_server

HOMES = ROOT / "tests/fixtures/homes"
ARCHIVES = sorted(HOMES.glob("*/*.tar.xz"))
SECOND = ROOT / "docs/reference/conformance/verify_dossier.py"
DOSSIERS = ("passed", "revoked", "erased", "external")
WHY = ("--reason", "continued")


@dataclass(frozen=True)
class Home(Deployment):
    """A kept home, unpacked, whose ledger others read by SQL."""

    expected: dict[str, Any] = field(kw_only=True)
    server: PostgresServer | None = field(default=None, kw_only=True)

    @property
    def kept(self) -> Path:
        """Where the archive was unpacked."""
        return self.home.parent

    def leaves(self) -> list[bytes]:
        """The stored bytes of every entry, in order."""
        if self.server is not None:
            rows = self.server.execute(
                "SELECT entry FROM ro_ledger.entry ORDER BY seq", database="ledger"
            )
        else:
            with closing(sqlite3.connect(f"file:{self.ledger}?mode=ro", uri=True)) as database:
                rows = database.execute("SELECT entry FROM entry ORDER BY seq").fetchall()
        return [row[0].encode() if isinstance(row[0], str) else bytes(row[0]) for row in rows]

    def said(self, *words: object, code: int = 0) -> Any:
        """A command's JSON, which must exit so."""
        answer = self.ro(*words, "--json")
        assert answer.code == code, (words, answer.out, answer.err)
        return answer.json()

    def artifacts(self) -> dict[str, str]:
        """The digest of each locator."""
        listed = [item["artifact"] for item in self.said("artifact", "list")]
        return {item["ref"]: item["digest"] for item in listed}

    def manifest(self, name: str) -> Path:
        """A manifest's file."""
        return self.kept / "manifests" / f"{name}.json"


def _id(archive: Path) -> str:
    return f"{archive.parent.name}-{archive.name.split('.')[0]}"


@pytest.fixture(scope="module", params=ARCHIVES, ids=_id)
def home(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Home]:
    """A kept home in folders and databases of its own. The tests of this module continue it, one
    after the other."""
    archive: Path = request.param
    folder = tmp_path_factory.mktemp("kept")
    unpack(archive, folder)
    shutil.copytree(HOMES / "deployment", folder / "deployment")
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, folder / "deployment")
    expected = json.loads(archive.with_name("expected.json").read_text())[
        archive.name.split(".")[0]
    ]
    settings = {
        "RO_LEDGER_ORIGIN": "ro-platform/kept",
        "RO_WITNESSES": f"file://{folder}/witness",
    }
    if archive.name.startswith("sqlite"):
        yield _admitted(Home(folder / "deployment", folder / "home", settings, expected=expected))
        return
    with postgres_server() as server:
        for name in ("ledger", "dagster"):
            _restore(server, name, folder / f"{name}.sql")
            settings[f"RO_{name.upper()}_URL"] = server.url(name)
        yield _admitted(
            Home(folder / "deployment", folder / "home", settings, expected=expected, server=server)
        )


def _restore(server: PostgresServer, name: str, dump: Path) -> None:
    server.execute(f"CREATE DATABASE {name}")
    program = binary("psql")
    assert program is not None
    words = (program, "-q", "-v", "ON_ERROR_STOP=1", "-f", str(dump), server.url(name))
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def _admitted(home: Home) -> Home:
    """As the admin, whose tokens ended with the old home: recovered, as one who lost his does."""
    migrated = home.ro("ledger", "migrate")
    assert migrated.code == 0, migrated.err
    answer = home.ro("token", "recover", "--for", home.expected["admin"], *WHY)
    assert answer.code == 0, answer.err
    more = {**home.environment, "RO_TOKEN": answer.out.strip()}
    return Home(home.root, home.home, more, expected=home.expected, server=home.server)


def test_what_is_kept_verifies(home: Home) -> None:
    """The ledger extends the kept root and the witness; every stored byte is right."""
    against = f"{home.expected['size']}:{home.expected['root']}"
    told = home.said("ledger", "verify", "--against", against)
    assert told["size"] > home.expected["size"]
    assert home.ro("artifact", "verify", "--all", "--full").code == 0
    assert home.artifacts() == home.expected["artifacts"]


@pytest.mark.parametrize("name", DOSSIERS)
def test_a_kept_dossier_verifies_by_both_verifiers(home: Home, name: str) -> None:
    """With nothing but the key that was kept beside it."""
    dossier, key = home.kept / f"dossiers/{name}.dossier", home.kept / "dossiers/log.pub"
    assert home.said("dossier", "verify", dossier, "--key", key)
    assert home.ro("dossier", "show", dossier, "--key", key).code == 0
    second = subprocess.run(
        [sys.executable, "-I", str(SECOND), str(dossier), str(key)],
        capture_output=True,
        check=False,
    )
    assert second.returncode == 0, second.stderr


def test_what_is_kept_is_shown(home: Home) -> None:
    """Manifests, attempts, gates, verdicts, traces, events, directives, configs and checkpoints."""
    manifests = home.expected["manifests"]
    listed = home.said("manifest", "list")
    assert {item["manifest_fingerprint"] for item in listed} >= set(manifests.values())
    ended = {item["status"] for item in home.said("attempts", "list", "--all")}
    assert ended >= {"SUCCEEDED", "FAILED", "CANCELED"}
    assert {"orders", "totals", "pages", "engine_bundle"} <= set(home.said("gate", "list"))
    failed = home.said("gate", "receipts", f"orders@{manifests['failed']}")
    assert "FAIL" in json.dumps(failed)
    assert "WARN" in json.dumps(home.said("gate", "receipts", f"totals@{manifests['passed']}"))
    for name in manifests.values():
        assert home.said("trace", name)["entries"]
    for words in (
        ("admin", "events"),
        ("admin", "status"),
        ("directive", "list", "--all"),
        ("config", "list"),
        ("ledger", "checkpoints"),
        ("access", "show"),
        ("token", "list"),
    ):
        assert home.said(*words), words
    assert home.ro("ledger", "archive", "--verify").code == 0


def test_what_was_withdrawn_or_erased_stays_so(home: Home, tmp_path: Path) -> None:
    """Blocked, erased and failed bytes are not read by today's guard either."""
    manifests = home.expected["manifests"]
    for target in (
        f"summary@{manifests['revoked']}",
        f"pages@{manifests['revoked']}",
        f"receipt@{manifests['erased']}",
        f"orders@{manifests['failed']}",
    ):
        copy = tmp_path / "copy"
        assert home.ro("artifact", "get", target, copy).code == 5, target
        assert not copy.exists()


def test_it_goes_on(home: Home, tmp_path: Path) -> None:
    """An old run stands again once its gates have judged, a new one runs, a dossier of the old one
    is exported; nothing that was recorded changes by a byte."""
    before, artifacts = home.leaves(), home.artifacts()
    for name in ("passed", "external", "waiting"):
        answer = home.ro("run", home.manifest(name), "--json")
        assert answer.code == 0, (name, answer.out, answer.err)
        assert all(asset["stands"] for asset in answer.json()["assets"]), answer.out
    new = json.loads(home.manifest("loosened").read_text())
    new["seed"] = 99
    home.manifest("new").write_text(json.dumps(new))
    assert home.ro("run", home.manifest("new")).code == 0
    key = home.kept / "dossiers/log.pub"
    for name in ("passed", "new"):
        exported = tmp_path / f"{name}.dossier"
        answer = home.ro("dossier", "export", home.manifest(name), "-o", exported)
        assert answer.code == 0, answer.err
        assert home.ro("dossier", "verify", exported, "--key", key).code == 0
    assert home.ro("ledger", "checkpoint").code == 0
    assert home.leaves()[: len(before)] == before
    assert home.artifacts().items() >= artifacts.items()
    against = f"{home.expected['size']}:{home.expected['root']}"
    assert home.ro("ledger", "verify", "--against", against).code == 0
    assert home.ro("artifact", "verify", "--all", "--full").code == 0


@pytest.mark.parametrize("archive", ARCHIVES, ids=_id)
def test_a_kept_home_names_no_place_of_the_machine_that_wrote_it(archive: Path) -> None:
    """What is stored is data, and so is every path and URL in it."""
    with tarfile.open(archive) as tar:
        held = b"".join(file.read() for one in tar if (file := tar.extractfile(one)))
    places = (b"/root/", b"/home/", b"/tmp/", b"/work/", b"/usr/local/", b"postgresql://")
    assert [place for place in places if place in held.replace(b"/srv/plane/home/", b"")] == []
