"""Versioned configs: numbered without a race, recorded with a reason, read only as pinned."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from ro_platform.artifacts.addressing import blob_name
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.contracts import AdminEvent, EntryKind, PinnedConfigRef
from ro_platform.errors import (
    AccessDeniedError,
    ConfigNotFoundError,
    ConflictError,
    ContractError,
    DigestMismatchError,
    NotCanonicalError,
    RunOperateError,
    VersionNotPinnedError,
)
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.clock import ManualClock
from ro_platform.kernel.digest import sha256_hex
from ro_platform.kernel.identity import admin_event_id
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
from ro_platform.plane import Plane
from tests.acting import publish_config

ACTOR = "HUMAN::tester"


@pytest.fixture
def plane() -> Plane:
    return Plane.in_memory(clock=ManualClock())


def publish(plane: Plane, content: object, name: str = "limits") -> PinnedConfigRef:
    return publish_config(plane, name, content, reason="because").version


def publish_at_last(plane: Plane, content: object) -> PinnedConfigRef:
    """Ask again as long as somebody else published since it was decided."""
    while True:
        with suppress(ConflictError):
            return publish(plane, content)


def test_versions_are_numbered_from_one_and_found_by_number(plane: Plane) -> None:
    """1, 2, 3; the newest by default; each with its own content."""
    pins = [publish(plane, {"max": number}) for number in (10, 20, 30)]

    assert [pin.config_version for pin in pins] == [1, 2, 3]
    assert plane.configs.find("limits").version == pins[2]
    assert plane.configs.find("limits", 2).version == pins[1]
    assert [plane.configs.read(pin) for pin in pins] == [{"max": n} for n in (10, 20, 30)]
    assert [item.version for item in plane.configs.list("limits")] == pins


def test_the_digest_is_over_canonical_content(plane: Plane) -> None:
    """Key order does not matter; anyone can recompute it."""
    pin = publish(plane, {"b": 1.0, "a": [True]})
    assert pin.digest == sha256_hex(b'{"a":[true],"b":1}')
    assert pin.digest == sha256_hex(canonical_bytes({"a": [True], "b": 1}))


def test_the_same_content_is_the_same_version_and_nothing_is_recorded(plane: Plane) -> None:
    """Publishing again answers the newest version, which this call did not publish."""
    first = publish_config(plane, "limits", {"a": 1, "b": 2}, reason="one")
    size = plane.ledger.size()
    again = publish_config(plane, "limits", {"b": 2, "a": 1}, reason="two")

    assert again == first
    assert again.reason == "one"
    assert plane.ledger.size() == size


def test_going_back_to_older_content_is_a_new_version(plane: Plane) -> None:
    """A, B, A are three versions; the first and the third have one digest."""
    first, _, third = (publish(plane, content) for content in ("a", "b", "a"))
    assert third.config_version == 3
    assert third.digest == first.digest


def test_publishing_is_an_admin_event_with_before_and_after(plane: Plane) -> None:
    """After the intent, the outcome beside the publication: who, why, and both versions."""
    first, second = publish(plane, {"max": 1}), publish(plane, {"max": 2})

    events = [
        AdminEvent.from_json(canonical_bytes(entry.body))
        for entry in plane.ledger.scan(kind=EntryKind.ADMIN_EVENT)
    ]
    assert [event.after for event in events] == [
        None,
        {"version": 1, "digest": first.digest},
        None,
        {"version": 2, "digest": second.digest},
    ]
    assert events[3].before == {"config_version": 1, "digest": first.digest}
    assert {(event.actor, event.reason, event.action_type.value) for event in events} == {
        (ACTOR, "because", "publish_config")
    }
    assert [entry.kind for entry in plane.ledger.scan()] == [
        EntryKind.ADMIN_EVENT,
        EntryKind.CONFIG_PUBLISHED,
        EntryKind.ADMIN_EVENT,
    ] * 2


def test_a_first_version_has_an_event_of_its_own(plane: Plane) -> None:
    """What comes with its manifest: the publication and its event, in one commit; again, or where
    it was published meanwhile, nothing."""
    first = plane.configs.publish_first("limits", {"max": 1}, reason="because", actor=ACTOR)
    assert [entry.kind for entry in plane.ledger.scan()] == [
        EntryKind.CONFIG_PUBLISHED,
        EntryKind.ADMIN_EVENT,
    ]
    [entry] = plane.ledger.scan(kind=EntryKind.ADMIN_EVENT)
    event = AdminEvent.from_json(canonical_bytes(entry.body))
    assert (event.before, event.after) == ({"digest": None}, {"digest": first.version.digest})
    assert event.admin_event_id == admin_event_id("publish_config", "config/limits/1")
    again = plane.configs.publish_first("limits", {"max": 1}, reason="again", actor=ACTOR)
    assert again == first
    with pytest.raises(ConflictError, match="version 1"):
        plane.configs.publish_first("limits", {"max": 2}, reason="because", actor=ACTOR)
    assert plane.ledger.size() == 2


@pytest.mark.parametrize(
    ("name", "content", "reason", "actor", "kind"),
    [
        ("limits", {}, "", ACTOR, ContractError),
        ("limits", {}, "  ", ACTOR, ContractError),
        ("no/slash", {}, "because", ACTOR, ContractError),
        ("limits", {"x": float("nan")}, "because", ACTOR, NotCanonicalError),
        ("limits", {}, "because", "HUMAN::somebody", AccessDeniedError),
    ],
    ids=["no reason", "blank reason", "bad name", "NaN", "no right"],
)
def test_a_publication_that_is_not_acceptable_records_nothing(
    plane: Plane,
    name: str,
    content: object,
    reason: str,
    actor: str,
    kind: type[RunOperateError],
) -> None:
    """Refused before anything is published; and what comes with a manifest in the same way."""
    with pytest.raises(kind):
        publish_config(plane, name, content, reason=reason, actor=actor)
    if kind is not AccessDeniedError:
        with pytest.raises(kind):
            plane.configs.publish_first(name, content, reason=reason, actor=actor)
        assert plane.ledger.size() == 0
    with pytest.raises(ConfigNotFoundError):
        plane.configs.find("limits")


def test_many_publishers_at_once_leave_no_gap_and_no_double(tmp_path: Path) -> None:
    """Eight threads with a content each, on a real file: versions 1 to 8, each once."""
    plane = Plane.over(
        MemoryBackend(), SqliteLedgerBackend(tmp_path / "ledger.sqlite"), clock=ManualClock()
    )
    with ThreadPoolExecutor(8) as pool:
        pins = list(pool.map(lambda number: publish_at_last(plane, {"n": number}), range(8)))

    assert sorted(pin.config_version for pin in pins) == list(range(1, 9))
    previous = None
    for item in plane.configs.list("limits"):
        assert item.version.digest != previous
        previous = item.version.digest
    plane.ledger.verify()


def test_the_same_content_from_many_threads_is_one_version(tmp_path: Path) -> None:
    """Exactly one of them published it."""
    plane = Plane.over(
        MemoryBackend(), SqliteLedgerBackend(tmp_path / "ledger.sqlite"), clock=ManualClock()
    )
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: publish_at_last(plane, {}), range(8)))
    assert {item.config_version for item in done} == {1}
    assert len(list(plane.ledger.scan(kind=EntryKind.CONFIG_PUBLISHED))) == 1


def test_a_pin_with_another_digest_is_refused(plane: Plane) -> None:
    """Even if that digest is another published version's."""
    first, second = publish(plane, {"max": 1}), publish(plane, {"max": 2})
    for digest in (second.digest, "0" * 64):
        pin = first.model_copy(update={"digest": digest})
        with pytest.raises(VersionNotPinnedError, match=first.digest):
            plane.configs.read(pin)


def test_an_unpublished_version_is_refused(plane: Plane) -> None:
    """By number and by name, with what to do."""
    pin = publish(plane, {})
    for update in ({"config_version": 2}, {"config_name": "other"}):
        with pytest.raises(ConfigNotFoundError, match="ro config"):
            plane.configs.read(pin.model_copy(update=update))


def test_altered_content_is_not_delivered() -> None:
    """A changed byte in the store: DigestMismatchError, no value."""
    backend = MemoryBackend()
    plane = Plane.over(backend, MemoryLedgerBackend(), clock=ManualClock())
    pin = publish(plane, {"max": 1})
    backend.objects[blob_name(pin.digest)] = b'{"max":2}'
    with pytest.raises(DigestMismatchError):
        plane.configs.read(pin)


def test_only_version_one_of_an_unpublished_config_is_a_first(plane: Plane) -> None:
    """Not version 2, and never once anything was published."""
    pin = PinnedConfigRef(config_name="limits", config_version=1, digest="0" * 64)
    second = pin.model_copy(update={"config_version": 2})
    assert plane.configs.is_first_of(pin)
    assert not plane.configs.is_first_of(second)
    publish(plane, {})
    assert not plane.configs.is_first_of(pin)
