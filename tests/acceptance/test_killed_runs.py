"""A run that is killed, at whatever moment, leaves evidence that verifies, and can go on."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from hashlib import sha256
from pathlib import Path

import pytest

from tests.acceptance.product import TUTORIAL, Answer, Deployment, small_deployment, small_manifest

PATIENCE_SECONDS = 60


def _entries(deployment: Deployment) -> int:
    """How many entries are committed, while somebody else may be writing."""
    try:
        return len(deployment.entries())
    except sqlite3.OperationalError:  # not yet created, or being created
        return 0


def _kill_at(deployment: Deployment, manifest: Path, entries: int) -> int:
    """Start ``ro run`` and SIGKILL it once the ledger has that many entries; how many it has."""
    process = deployment.start("ro", "run", manifest)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _entries(deployment) < entries and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return _entries(deployment)


def _passed_digests(deployment: Deployment) -> set[str]:
    return {
        str(entry["body"]["subject_digest"])
        for entry in deployment.entries()
        if entry["kind"] == "gate_receipt" and entry["body"]["status"] == "PASS"
    }


def _stored_digests(deployment: Deployment) -> set[str]:
    return {sha256(blob.read_bytes()).hexdigest() for blob in deployment.blobs()}


def _is_whole(deployment: Deployment) -> None:
    """Assert what must hold after any crash: verified evidence, and no PASS without its bytes."""
    for command in (("ledger", "verify"), ("artifact", "verify", "--all", "--full")):
        answer = deployment.ro(*command)
        assert answer.code == 0, answer.err
    assert _passed_digests(deployment) <= _stored_digests(deployment)


@pytest.mark.parametrize("entries", [1, 9, 12, 17])
def test_a_killed_run_is_taken_up_again(tmp_path: Path, entries: int) -> None:
    """Killed after each stage of its record, it completes when it is asked for again."""
    small, manifest = small_deployment(tmp_path), small_manifest(tmp_path / "manifests")
    assert _kill_at(small, manifest, entries) >= entries
    _is_whole(small)

    facts = small.ro("run", manifest, "--json").json()

    assert facts["error"] is None
    assert [asset["stands"] for asset in facts["assets"]] == [True, True]
    assert len(list((small.store / "refs").rglob("*.json"))) == 2
    _is_whole(small)


def test_a_run_killed_again_and_again_ends_like_any_other(
    first_run: tuple[Deployment, Answer], tmp_path: Path
) -> None:
    """After kills at two places the reference workload has the very same artifacts."""
    manifest = TUTORIAL / "purchases.yaml"
    killed = Deployment(first_run[0].root, tmp_path / "home")
    for entries in (24, 48):
        _kill_at(killed, manifest, entries)
        _is_whole(killed)

    facts = killed.ro("run", manifest, "--json")
    assert facts.code == 0, facts.err
    _is_whole(killed)
    expected = _bound(first_run[0])
    assert _bound(killed) == expected
    assert len(expected) == 8


def test_an_interrupted_run_says_so(small: Deployment, tmp_path: Path) -> None:
    """Ctrl-C ends it without a trace of Python, and what was begun has an end on record."""
    manifest = small_manifest(tmp_path / "manifests")
    log = tmp_path / "log"
    process = small.start("ro", "run", manifest, log=log)
    while _entries(small) < 8 and process.poll() is None:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(timeout=PATIENCE_SECONDS)
    assert "Traceback" not in log.read_text()
    _is_whole(small)
    assert json.loads(small.ro("run", manifest, "--json").out)["error"] is None


def _bound(deployment: Deployment) -> dict[str, str]:
    listed = deployment.ro("artifact", "list", "--json").json()
    return {item["asset"]: item["artifact"]["digest"] for item in listed}


def test_a_reader_that_leaves_is_no_fault(first_run: tuple[Deployment, Answer]) -> None:
    """`ro ledger log | head` ends quietly when head has seen enough."""
    deployment, _ = first_run
    done = subprocess.run(
        ["bash", "-c", f"{deployment.root}/.venv/bin/ro ledger log --all --json | head -n 1"],
        cwd=deployment.root,
        env=deployment.env(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.stdout == "[\n"
    assert done.stderr == ""
