"""What is kept outside shows what the ledger's own administrator did to it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.product import Deployment
from tests.ceph import REGION, S3Server


@pytest.fixture
def witnessed(small_finished: tuple[Deployment, Path], tmp_path: Path) -> Deployment:
    """A finished run, signed, and the checkpoint kept in a folder outside."""
    deployment = small_finished[0].with_environment(
        RO_WITNESSES=(tmp_path / "outside").as_uri(), RO_LEDGER_ORIGIN="ro-platform/acceptance"
    )
    assert deployment.ro("ledger", "key", "--create").code == 0
    answer = deployment.ro("ledger", "checkpoint")
    assert answer.code == 0, answer.err
    return deployment


def note(tmp_path: Path) -> Path:
    """The newest note outside."""
    return max((tmp_path / "outside").rglob("*.note"))


def cut(deployment: Deployment, entries: int) -> None:
    """Take the last entries away, with the guards taken down and put up again."""
    with closing(sqlite3.connect(deployment.ledger)) as database:
        triggers = database.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall()
        (size,) = database.execute("SELECT count(*) FROM entry").fetchone()
        for name, _ in triggers:
            database.execute(f"DROP TRIGGER {name}")
        database.execute("DELETE FROM entry WHERE seq >= ?", [size - entries])
        database.execute("DELETE FROM mention WHERE seq >= ?", [size - entries])
        database.execute("DELETE FROM node WHERE (position + 1) << level > ?", [size - entries])
        for _, sql in triggers:
            database.execute(sql)
        database.commit()


def test_sign_hand_over_list_and_verify(witnessed: Deployment, tmp_path: Path) -> None:
    """The commands of the how-to, one after the other."""
    size = len(witnessed.entries())
    key = witnessed.ro("ledger", "key").out.strip()
    assert key.startswith("ro-platform/acceptance+")

    listed = witnessed.ro("ledger", "checkpoints", "--json").json()
    assert [held["sizes"] for held in listed["holdings"]] == [[size], [size]]

    verified = witnessed.ro("ledger", "verify", "--json").json()
    assert (verified["size"], verified["outside"]) == (size, True)
    assert [one["size"] for one in verified["against"]] == [size]

    again = witnessed.ro("ledger", "checkpoint", "--every", 1000, "--json").json()
    assert again["checkpoint"]["size"] == size
    assert again["witnesses"][0]["delivered"] == []

    (witnessed.root / "auditors.keys").write_text(f"# ours\n{key}\n")
    for named in (key, "auditors.keys"):
        told = witnessed.ro(
            "ledger", "verify", "--offline", "--against", note(tmp_path), "--key", named
        )
        assert told.code == 0
        assert "States kept of it that it extends: 1" in told.out


def test_a_cut_tail_is_found_by_the_witness_and_says_what_is_missing(
    witnessed: Deployment, tmp_path: Path
) -> None:
    """And by the file alone; without both, the command says that it cannot see it."""
    kept = note(tmp_path)
    size = len(witnessed.entries())
    cut(witnessed, 3)
    shutil.rmtree(witnessed.store / "checkpoints")
    by_witness = witnessed.ro("ledger", "verify")
    by_file = witnessed.ro("ledger", "verify", "--offline", "--against", kept)
    for answer in (by_witness, by_file):
        assert answer.code == 6
        assert "RO_LEDGER_CORRUPT" in answer.err
        assert f"{size - 3} entries, fewer than the {size} of checkpoint {size}" in answer.err
    blind = witnessed.ro("ledger", "verify", "--offline")
    assert blind.code == 0
    assert "cannot be seen" in blind.out
    refused = witnessed.ro("ledger", "checkpoint")
    assert refused.code == 6
    assert "does not extend" in refused.err


def test_a_note_that_is_not_the_ledgers_is_refused(witnessed: Deployment, tmp_path: Path) -> None:
    """Altered, of another log, or under another key: the exit code is that of a broken record."""
    kept = note(tmp_path)
    altered = tmp_path / "altered.note"
    altered.write_bytes(kept.read_bytes().replace(b"acceptance\n", b"acceptancf\n", 1))
    other = witnessed.with_environment(RO_LEDGER_ORIGIN="ro-platform/other", RO_WITNESSES="")
    stranger = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    answers = [
        witnessed.ro("ledger", "verify", "--against", altered),
        other.ro("ledger", "verify", "--against", kept),
        witnessed.ro("ledger", "verify", "--against", kept, "--key", stranger),
    ]
    for answer in answers:
        assert answer.code == 6, answer.out
        assert "RO_CHECKPOINT_REFUSED" in answer.err


def test_a_witness_that_cannot_be_asked_is_not_passed_over(
    witnessed: Deployment, tmp_path: Path
) -> None:
    """Verification without it has to be asked for."""
    missing = f"git+{(tmp_path / 'no-clone').as_uri()}"
    answer = witnessed.ro("ledger", "verify", "--witness", missing)
    assert answer.code == 8
    assert "not a git clone" in answer.err


def test_a_bucket_with_object_lock_shows_what_was_cut_here_and_hidden_there(
    witnessed: Deployment, s3: S3Server, tmp_path: Path
) -> None:
    """The whole way: the bucket's account and the ledger's both worked on it, and it is found."""
    bucket = s3.new_bucket(locked=True)
    address = f"s3://{bucket}/ledger?endpoint_url={s3.url}&region={REGION}"
    deployment = witnessed.with_environment(RO_WITNESSES=address, **s3.environment())
    size = len(deployment.entries())
    handed = deployment.ro("ledger", "checkpoint", "--json")
    assert handed.json()["witnesses"][0]["delivered"] == [size], handed.err
    verified = deployment.ro("ledger", "verify", "--offline", "--witness", address, "--json")
    assert (verified.code, verified.json()["outside"]) == (0, True), verified.err

    cut(deployment, 3)
    shutil.rmtree(deployment.store / "checkpoints")
    client = s3.client()
    for item in client.list_objects_v2(Bucket=bucket)["Contents"]:
        client.delete_object(Bucket=bucket, Key=item["Key"])
    assert "Contents" not in client.list_objects_v2(Bucket=bucket)
    found = deployment.ro("ledger", "verify", "--offline", "--witness", address)
    assert found.code == 6
    assert f"{size - 3} entries, fewer than the {size} of checkpoint {size}" in found.err
    assert f"s3://{bucket}/ledger" in found.err
    refused = deployment.ro("ledger", "checkpoint")
    assert refused.code == 6
    assert "does not extend" in refused.err


def test_a_bucket_that_cannot_be_asked_says_why_and_quotes_no_secret(
    witnessed: Deployment, s3: S3Server
) -> None:
    """A wrong secret: the checkpoint is signed here, and the command fails with its code."""
    address = f"s3://{s3.new_bucket()}/ledger?endpoint_url={s3.url}&region={REGION}"
    environment = {**s3.environment(), "AWS_SECRET_ACCESS_KEY": "not-the-right-one"}
    deployment = witnessed.with_environment(RO_WITNESSES=address, **environment)
    for command in ("checkpoint", "verify"):
        answer = deployment.ro("ledger", command)
        assert answer.code == 8
        assert "RO_BACKEND_UNAVAILABLE" in answer.err
        assert "does not accept the credentials" in " ".join(answer.err.split())
        assert "not-the-right-one" not in answer.out + answer.err
        assert "Traceback" not in answer.err
