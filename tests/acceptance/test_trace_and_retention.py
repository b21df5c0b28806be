"""Whatever one id leads to is shown; what may not be kept goes, and the record of it stays."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import time
from typing import Any

import pytest

from tests.acceptance.product import BIN, TUTORIAL, Deployment

MANIFEST = TUTORIAL / "purchases.yaml"
WHY = "a customer asked for it, DSR-7"


def bound(deployment: Deployment, asset: str) -> dict[str, Any]:
    """The ledger's entry that made an asset's artifact."""
    found = [
        entry
        for entry in deployment.entries()
        if entry["kind"] == "artifact_bound" and entry["body"]["asset"] == asset
    ]
    assert len(found) == 1
    return found[0]


def traced(deployment: Deployment, identifier: str) -> tuple[str, dict[int, str]]:
    """What an id is taken for, and how each entry is related."""
    answer = deployment.ro("trace", identifier, "--json")
    assert answer.code == 0, answer.err
    said = answer.json()
    related = {item["entry"]["seq"]: item["relation"] for item in said["entries"]}
    assert list(related) == sorted(related)
    return said["kind"], related


def test_any_id_of_a_run_leads_to_everything_about_it(finished: Deployment) -> None:
    """run_id, fingerprint, train_run_id, bundle_id, dagster_run_id, a digest and a locator."""
    entries = finished.entries()
    model, bundle = bound(finished, "model"), bound(finished, "bundle")
    ids, artifact = model["correlation_ids"], model["body"]["artifact"]
    assert ids["train_run_id"] == model["body"]["attempt_id"]
    of_run = {
        entry["seq"] for entry in entries if entry["correlation_ids"].get("run_id") == ids["run_id"]
    }
    for identifier in (ids["run_id"], model["body"]["manifest_fingerprint"]):
        assert traced(finished, identifier)[1].keys() == of_run
    kind, related = traced(finished, ids["dagster_run_id"])
    assert (kind, related.keys() <= of_run) == ("dagster_run", True)
    expected = {
        ids["train_run_id"]: "train_run",
        artifact["digest"]: "digest",
        artifact["ref"]: "artifact",
        f"model@{model['body']['manifest_fingerprint'][:8]}": "artifact",
    }
    for identifier, kind in expected.items():
        found, related = traced(finished, identifier)
        assert (found, related[model["seq"]]) == (kind, "made")
        users = {bound(finished, name)["seq"] for name in ("evaluation", "bundle")}
        assert {seq for seq, how in related.items() if how == "used"} == users
        judged = [seq for seq, how in related.items() if how == "judged"]
        assert [entries[seq]["body"]["gate_id"] for seq in judged] == [
            "model.model_is_safe_to_load"
        ]
    found, related = traced(finished, bundle["correlation_ids"]["bundle_id"])
    assert (found, related[bundle["seq"]]) == ("bundle", "made")
    ends = [
        entry["correlation_ids"]
        for entry in entries
        if entry["body"].get("status") == "SUCCEEDED"
        and entry["body"]["unit"] in ("model", "bundle")
    ]
    assert [sorted(set(item) - {"run_id", "dagster_run_id"}) for item in ends] == [
        ["train_run_id"],
        ["bundle_id"],
    ]


def test_a_trace_is_a_table_for_a_person(finished: Deployment) -> None:
    """What the id was taken for, then seq, when, how, who and what; unknown ids exit with 4."""
    model = bound(finished, "model")
    answer = finished.ro("trace", model["body"]["artifact"]["digest"])
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[0] == f"digest {model['body']['artifact']['digest']}"
    assert lines[1].split() == ["seq", "recorded", "(UTC)", "how", "who", "what"]
    [made] = [line for line in lines if "artifact_bound model = " in line]
    assert made.split()[0] == str(model["seq"])
    assert made.split()[3:5] == ["made", "SYSTEM::dagster"]
    unknown = finished.ro("trace", "0" * 64)
    assert (unknown.code, "RO_NOT_FOUND" in unknown.err) == (4, True)


def test_an_erased_artifact_is_gone_and_its_record_stays(finished: Deployment) -> None:
    """Get, run and verify know of it; the ledger extends the one from before; users stand."""
    before = finished.ro("ledger", "verify", "--json").json()
    admitted = bound(finished, "admitted")["body"]["artifact"]
    name = f"admitted@{bound(finished, 'admitted')['body']['manifest_fingerprint'][:8]}"
    refused = finished.ro("artifact", "erase", name)
    assert refused.code == 3, "no erasure without a reason"
    done = finished.ro("artifact", "erase", name, "--reason", WHY, "--json")
    assert done.code == 0, done.err
    assert done.json()["erased"][0]["tombstone"]["bindings"] == [admitted["ref"]]
    assert all(
        hashlib.sha256(path.read_bytes()).hexdigest() != admitted["digest"]
        for path in finished.blobs()
    )
    for command in (["artifact", "get", name, str(finished.home / "copy")], ["run", str(MANIFEST)]):
        answer = finished.ro(*command)
        assert answer.code == 5, (command, answer.out, answer.err)
        assert "RO_ARTIFACT_ERASED" in answer.out + answer.err or "ERASED" in answer.out
    assert WHY in finished.ro("artifact", "get", name, str(finished.home / "copy")).err
    assert finished.ro("artifact", "get", f"model@{name[-8:]}", str(finished.home / "m")).code == 0
    audit = finished.ro("artifact", "verify", "--all", "--json")
    assert (audit.code, audit.json()["erased"]) == (0, [admitted["ref"]])
    against = f"{before['size']}:{before['root']}"
    assert finished.ro("ledger", "verify", "--against", against).code == 0
    assert [how for how in traced(finished, name)[1].values() if how == "erased"] == ["erased"] * 3


def test_personal_data_that_came_in_as_an_input_is_erased(finished: Deployment) -> None:
    """By its digest: the run is refused at its registration, with the reason."""
    registered = finished.entries()
    [digest] = {
        name.removeprefix("imported/")
        for entry in registered
        for name in entry.get("mentions", [])
        if name.startswith("imported/")
    }
    done = finished.ro("artifact", "erase", digest, "--reason", WHY, "--json")
    assert done.code == 0, done.err
    assert len(done.json()["erased"][0]["tombstone"]["inputs"]) == 1
    answer = finished.ro("run", MANIFEST)
    assert (answer.code, "RO_ARTIFACT_ERASED" in answer.err) == (5, True), answer.err
    assert digest not in {
        hashlib.sha256(path.read_bytes()).hexdigest() for path in finished.blobs()
    }
    kind, related = traced(finished, digest)
    assert kind == "digest"
    assert set(related.values()) == {"used", "erased"}


@pytest.mark.parametrize("wait", [0.5, 0.7, 0.9])
def test_an_erasure_killed_at_any_time_is_completed(finished: Deployment, wait: float) -> None:
    """SIGKILL: either nothing is on record, or it is refused and `--resume` completes it."""
    made = bound(finished, "bundle")["body"]
    target = f"bundle@{made['manifest_fingerprint']}"
    process = subprocess.Popen(
        [str(BIN / "ro"), "artifact", "erase", target, "--reason", WHY],
        cwd=finished.root,
        env=finished.env(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(wait)
    process.send_signal(signal.SIGKILL)
    process.wait()
    decided = any(entry["kind"] == "artifact_erased" for entry in finished.entries())
    got = finished.ro("artifact", "get", target, finished.home / "copy")
    assert got.code == (5 if decided else 0), got.err
    assert finished.ro("artifact", "erase", "--resume").code == 0
    if not decided:
        assert finished.ro("artifact", "erase", target, "--reason", WHY).code == 0
    results = [
        entry["body"]["result"]
        for entry in finished.entries()
        if entry["body"].get("action_type") == "erase_artifact"
    ]
    assert results == ["intended", "done"]
    assert made["artifact"]["digest"] not in {
        hashlib.sha256(path.read_bytes()).hexdigest() for path in finished.blobs()
    }
    audit = finished.ro("artifact", "verify", "--all")
    assert audit.code == 0, audit.out


def test_archived_segments_verify_without_the_product(finished: Deployment) -> None:
    """A segment's file and SHA-256 give the root that the ledger names; the ledger keeps all."""
    count = len(finished.entries())
    answer = finished.ro("ledger", "archive", "--segment-size", 32, "--json")
    assert answer.code == 0, answer.err
    segments = answer.json()["segments"]
    assert len(segments) == count // 32 > 0
    assert len(finished.entries()) == count + len(segments)
    leaves: list[bytes] = []
    for item in segments:
        body = item["archived"]
        digest = body["segment"]["digest"]
        data = (finished.store / "blobs/sha256" / digest[:2] / digest[2:]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest
        own = [hashlib.sha256(b"\0" + line).digest() for line in data.split(b"\n")[:-1]]
        assert root(own).hex() == body["root"]
        leaves += own
        assert root(leaves).hex() == body["log_root"]
        end = f"{len(leaves)}:{body['log_root']}"
        assert finished.ro("ledger", "verify", "--against", end).code == 0
    verified = finished.ro("ledger", "archive", "--verify")
    assert verified.code == 0, verified.err
    again = finished.ro("ledger", "archive", "--segment-size", 32, "--upto", count, "--json")
    assert [item["new"] for item in again.json()["segments"]] == [False] * len(segments)


def root(hashes: list[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, over leaf hashes."""
    if len(hashes) == 1:
        return hashes[0]
    middle = 1 << (len(hashes) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + root(hashes[:middle]) + root(hashes[middle:])).digest()
