"""Every entry carries the ids of what it concerns: run, training run, bundle and Dagster run."""

from __future__ import annotations

import json
from collections.abc import Callable
from getpass import getuser
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.acceptance.product import TUTORIAL, Deployment

LAW = "sha256_bundle_digest"
REPORT = b"{}\n"
IDS = ("run_id", "train_run_id", "bundle_id", "dagster_run_id")
Entry = dict[str, Any]


class World(NamedTuple):
    """The ledger, and by the artifacts that are a training run's or a bundle what they are."""

    deployment: Deployment
    entries: list[Entry]
    trained: dict[str, str]
    bundles: dict[str, str]
    outside: set[str]
    digests: dict[str, str]


@pytest.fixture(scope="module")
def world(first_run: tuple[Deployment, Any], tmp_path_factory: pytest.TempPathFactory) -> World:
    """The reference workload, in which a model is trained and bundled; an engine's bundle; and what
    people do with all of it: a revocation, an erasure, an archive, a replay, and, once there is a
    policy, a promotion that a second person approved, and one that was refused."""
    folder = tmp_path_factory.mktemp("correlation")
    deployment = first_run[0].copied_to(folder / "home")
    (made,) = [
        e for e in deployment.entries() if e["body"].get("asset") == "model" and _is_bound(e)
    ]
    fingerprint = made["body"]["manifest_fingerprint"]
    engine = ("--asset", "engine_bundle", "--manifest", fingerprint, "--reason", "delivered")
    for command in (
        ("gate", "register", _sealed(folder / "bundle"), "--law", LAW, *engine),
        ("ledger", "key", "--create"),
        ("gate", "revoke", "model.model_is_safe_to_load", f"model@{fingerprint}", "--reason", "r"),
        ("artifact", "erase", f"admitted@{fingerprint}", "--reason", "asked"),
        ("artifact", "erase", f"engine_bundle@{fingerprint}", "--reason", "asked"),
        ("ledger", "archive"),
        ("run", TUTORIAL / "purchases.yaml", "--replay"),
        ("attempts", "reconcile"),
    ):
        answer = deployment.ro(*command)
        assert answer.code in (0, 5), (command, answer.out, answer.err)
    deployment = _administered(deployment, folder / "policy.yaml", f"scenario@{fingerprint}")
    entries = deployment.entries()
    bound = [entry for entry in entries if _is_bound(entry)]
    digests = {e["body"]["artifact"]["ref"]: e["body"]["artifact"]["digest"] for e in bound}
    return World(
        deployment,
        entries,
        {e["body"]["artifact"]["ref"]: e["body"]["attempt_id"] for e in bound if _is(e, "model")},
        {ref: digests[ref] for ref in digests if ref.split("/")[1] in ("bundle", "engine_bundle")},
        {e["body"]["attempt_id"] for e in bound if _is(e, "engine_bundle")},
        digests,
    )


def _administered(deployment: Deployment, policy: Path, artifact: str) -> Deployment:
    """People get tokens and a policy; one proposes, the other approves, and is refused.

    Answers the deployment for somebody who may look.
    """

    def said(by: Deployment, *words: object) -> Any:
        answer = by.ro(*words, "--json")
        assert answer.code == 0, (words, answer.out, answer.err)
        return answer.json()

    because = ("--reason", "two of us")
    admin = f"HUMAN::{getuser()}"
    issued = {
        who: said(deployment, "token", "issue", "--for", who, *because)
        for who in (admin, "HUMAN::second", "HUMAN::gone")
    }
    said(deployment, "token", "revoke", issued["HUMAN::gone"]["token_id"], *because)
    said(deployment, "access", "init", policy, "--approver", "HUMAN::second")
    said(deployment, "access", "publish", policy, *because)
    first = deployment.with_environment(RO_TOKEN=issued[admin]["token"])
    second = deployment.with_environment(RO_TOKEN=issued["HUMAN::second"]["token"])
    promote = ("promote", artifact, "--to", "purchases/champion", *because)
    directive = said(first, "directive", "propose", *promote)["directive_id"]
    said(second, "directive", "approve", directive, *because)
    said(first, "directive", "execute", directive)
    refused = [second.ro("admin", *promote), second.ro("token", "issue", "--for", admin, *because)]
    assert [answer.code for answer in refused] == [11, 11]
    return second


def _is_bound(entry: Entry) -> bool:
    return bool(entry["kind"] == "artifact_bound")


def _is(entry: Entry, asset: str) -> bool:
    return bool(entry["body"]["asset"] == asset)


def _sealed(folder: Path) -> Path:
    """A bundle as an engine would write it, under the law over every file."""
    folder.mkdir()
    (folder / "report.json").write_bytes(REPORT)
    index = json.dumps(
        {"members": [{"path": "report.json", "sha256_hex": sha256(REPORT).hexdigest()}]}
    ).encode()
    (folder / "index.json").write_bytes(index)
    (folder / "_passed.flag").write_text(f"sha256_hex = {sha256(index + REPORT).hexdigest()}\n")
    return folder


# --- which ids an entry must have, by its kind ----------------------------------------------------


def _of_run(_: World, entry: Entry) -> set[str]:
    return {"run_id"}


def _none(_: World, entry: Entry) -> set[str]:
    return set()


def _attempt(world: World, entry: Entry) -> set[str]:
    """What its outputs are is known when it has made them."""
    made = [item["artifact"]["ref"] for item in entry["body"].get("outputs", ())]
    dagster = {"dagster_run_id"} if entry["body"]["step_key"] != "external" else set()
    return {"run_id"} | dagster | _made(world, made)


def _bound(world: World, entry: Entry) -> set[str]:
    outside = entry["body"]["attempt_id"] in world.outside
    ref = entry["body"]["artifact"]["ref"]
    return {"run_id"} | (set() if outside else {"dagster_run_id"}) | _made(world, [ref])


def _receipt(world: World, entry: Entry) -> set[str]:
    body = entry["body"]
    outside = any(attempt in body["receipt"]["ref"] for attempt in world.outside)
    fingerprint = f"fingerprint={body['manifest_fingerprint']}"
    refs = [
        ref for ref in (*world.trained, *world.bundles) if f"/{body['asset']}/{fingerprint}" in ref
    ]
    return {"run_id"} | (set() if outside else {"dagster_run_id"}) | _made(world, refs)


def _admin(world: World, entry: Entry) -> set[str]:
    """Never a run's: it may be sealed. That it touched the run is in its mentions: the intent's as
    well as the outcome's, and a refusal's."""
    if entry["body"]["action_type"] == "publish_config":
        return set()
    assert _touches(entry)
    targets = [name.removeprefix("sha256:") for name in entry["body"]["targets"]]
    held = [ref for ref, digest in world.digests.items() if digest in targets]
    return _made(world, [*targets, *held])


def _directive(_: World, entry: Entry) -> set[str]:
    """Who proposed and who approved what is done to a run touched it, too."""
    assert _touches(entry)
    return set()


def _revoked(world: World, entry: Entry) -> set[str]:
    assert _touches(entry)
    asset = entry["body"]["asset"]
    return _made(world, [ref for ref in (*world.trained, *world.bundles) if f"/{asset}/" in ref])


def _blocked(world: World, entry: Entry) -> set[str]:
    assert _touches(entry)
    return _made(world, [entry["body"]["artifact"]["ref"]])


def _erased(world: World, entry: Entry) -> set[str]:
    assert _touches(entry)
    return _made(world, entry["body"]["bindings"])


def _touches(entry: Entry) -> bool:
    return any(name.startswith("touched/") for name in entry["mentions"])


def _made(world: World, refs: list[str]) -> set[str]:
    trained = {"train_run_id"} if set(refs) & world.trained.keys() else set()
    return trained | ({"bundle_id"} if set(refs) & world.bundles.keys() else set())


TABLE: dict[str, Callable[[World, Entry], set[str]]] = {
    "run_registered": _of_run,
    "run_sealed": _of_run,
    "run_reopened": _of_run,
    "attempt_transition": _attempt,
    "artifact_bound": _bound,
    "gate_receipt": _receipt,
    "admin_event": _admin,
    "pass_revoked": _revoked,
    "artifact_blocked": _blocked,
    "artifact_erased": _erased,
    "gate_set_declared": _none,  # an asset's, under whatever manifest
    "config_published": _none,  # whoever pins it
    "segment_archived": _none,  # the log's own
    "token_issued": _none,  # a person's
    "token_revoked": _none,
    "access_refused": _none,  # here a command's; a launch's has the Dagster run that was refused
    "directive_moved": _directive,
}


def test_every_kind_of_entry_is_in_the_table(world: World) -> None:
    """A new kind fails here until it is said which ids it must carry; and all of them occur."""
    contracts = (
        Path(__file__).parents[2] / "docs/model_spec/meta-layers/run_operate_plane/contracts"
    )
    schema = json.loads((contracts / "ro_public_contracts_v0.schema.json").read_text())
    assert set(schema["$defs"]["EntryKind"]["enum"]) == set(TABLE)
    assert {entry["kind"] for entry in world.entries} | {"segment_archived"} == set(TABLE)
    assert {ref.split("/")[1] for ref in world.bundles} == {"bundle", "engine_bundle"}
    assert len(world.outside) == len(world.trained) == 1


def test_every_entry_carries_the_ids_of_what_it_concerns(world: World) -> None:
    """Exactly those, and of the right thing."""
    for entry in world.entries:
        carried = {name for name in IDS if entry["correlation_ids"].get(name)}
        expected = TABLE[entry["kind"]](world, entry)
        assert carried == expected, entry
        assert entry["correlation_ids"].get("train_run_id") in (None, *world.trained.values())
        assert entry["correlation_ids"].get("bundle_id") in (None, *world.bundles.values())


@pytest.mark.parametrize("name", IDS)
def test_a_trace_of_an_id_shows_every_entry_that_carries_it(world: World, name: str) -> None:
    """Each value that occurs, by `ro trace`."""
    values = {
        entry["correlation_ids"][name]
        for entry in world.entries
        if name in entry["correlation_ids"]
    }
    assert values
    for value in values:
        traced = world.deployment.ro("trace", value, "--json").json()["entries"]
        shown = {item["entry"]["seq"] for item in traced}
        carrying = {e["seq"] for e in world.entries if e["correlation_ids"].get(name) == value}
        assert carrying <= shown
