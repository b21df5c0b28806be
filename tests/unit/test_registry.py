"""Registering a run: everything is checked before anything is written, and once is enough."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ro_platform.artifacts.addressing import blob_name
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.contracts import CodeRef, EntryKind, PinnedConfigRef, RunManifest
from ro_platform.errors import (
    BackendUnavailableError,
    ConfigNotFoundError,
    DigestMismatchError,
    InputMismatchError,
    InputMissingError,
    ManifestNotRegisteredError,
    RunOperateError,
    VersionNotPinnedError,
)
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.clock import ManualClock
from ro_platform.kernel.digest import digests_of, sha256_hex
from ro_platform.kernel.identity import manifest_fingerprint, run_id
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.ledger.backends.sqlite import SqliteLedgerBackend
from ro_platform.plane import Plane
from ro_platform.runs.manifest import ManifestFile, parse_manifest
from tests.acting import publish_config

ACTOR = "HUMAN::tester"
DATA = b"customer,amount\n1,2\n"
LIMITS = b"max: 3\n"


class Place:
    """A plane in memory, and a folder with a manifest's files."""

    def __init__(self, folder: Path) -> None:
        self.blobs = MemoryBackend()
        self.log = MemoryLedgerBackend()
        self.plane = Plane.over(self.blobs, self.log, clock=ManualClock())
        self.folder = folder
        (folder / "data.csv").write_bytes(DATA)
        (folder / "limits.yaml").write_bytes(LIMITS)

    def file(self, **fields: Any) -> ManifestFile:
        value = {"kind": "ro.run_manifest.v0", "workload": "w", "code": {"version": "1"}} | fields
        manifest = parse_manifest(canonical_bytes(value), "run.json")
        return ManifestFile(manifest, manifest_fingerprint(manifest), self.folder)

    def with_input(self, ref: str = "data.csv", **more: Any) -> ManifestFile:
        fields = {"ref": ref, "digest": sha256_hex(DATA)} | more
        return self.file(inputs=[{"name": "data", "ref": fields}])

    def with_config(self, version: int = 1, **more: Any) -> ManifestFile:
        pin = {
            "config_name": "limits",
            "config_version": version,
            "digest": sha256_hex(b'{"max":3}'),
            "ref": "limits.yaml",
        }
        said = {name: value for name, value in (pin | more).items() if value is not None}
        return self.file(config_versions=[said])

    def register(self, file: ManifestFile, *, first: bool = False) -> bool:
        return self.plane.runs.register(file, actor=ACTOR, publish_first_versions=first)

    def state(self) -> tuple[int, dict[str, bytes]]:
        """All that is stored: to be the same after a refusal."""
        return self.plane.ledger.size(), dict(self.blobs.objects)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_registered_run_is_found_by_its_fingerprint(place: Place) -> None:
    """Its manifest, its input's bytes and one entry with the run's identity."""
    file = place.with_input()
    assert place.register(file) is True

    (entry,) = place.plane.ledger.scan(kind=EntryKind.RUN_REGISTERED)
    assert entry.correlation_ids.run_id == run_id(file.fingerprint)
    assert entry.actor == ACTOR
    assert place.plane.runs.manifest(file.fingerprint) == file.manifest
    assert place.plane.scope(file.fingerprint).input_bytes("data") == DATA
    (registered,) = place.plane.runs.registered()
    assert registered.manifest_fingerprint == file.fingerprint
    assert registered.workload == "w"


def test_registering_twice_is_one_entry(place: Place) -> None:
    """The second time is no news and changes nothing, even when the file is gone."""
    file = place.with_input()
    assert place.register(file) is True
    before = place.state()
    assert place.register(file) is False
    (place.folder / "data.csv").unlink()
    assert place.register(file) is False
    assert place.state() == before


def test_of_many_who_register_at_once_one_hears_that_it_is_new(tmp_path: Path) -> None:
    """Eight threads on a real ledger file: one entry, one True."""
    plane = Plane.over(
        MemoryBackend(), SqliteLedgerBackend(tmp_path / "ledger.sqlite"), clock=ManualClock()
    )
    manifest = RunManifest(kind="ro.run_manifest.v0", workload="w", code=CodeRef(version="1"))
    file = ManifestFile(manifest, manifest_fingerprint(manifest), None)
    with ThreadPoolExecutor(8) as pool:
        news = list(pool.map(lambda _: plane.runs.register(file, actor=ACTOR), range(8)))
    assert news.count(True) == 1
    assert plane.ledger.size() == 1


REFUSED_INPUTS: dict[str, tuple[dict[str, Any], type[RunOperateError]]] = {
    "missing file": ({"ref": "nowhere.csv"}, InputMissingError),
    "a folder": ({"ref": "folder"}, InputMissingError),
    "other bytes": ({"digest": "0" * 64}, InputMismatchError),
    "other size": ({"size_bytes": 3}, InputMismatchError),
    "other second digest": ({"blake3": "0" * 64}, InputMismatchError),
    "traversal": ({"ref": "../data.csv"}, InputMissingError),
    "absolute path": ({"ref": "/etc/passwd"}, InputMissingError),
    "URL": ({"ref": "https://example.org/data.csv"}, InputMissingError),
}


@pytest.mark.parametrize("case", list(REFUSED_INPUTS))
def test_an_input_that_is_not_what_the_manifest_says_is_refused(place: Place, case: str) -> None:
    """One clear error; store and ledger stay as they were."""
    more, kind = REFUSED_INPUTS[case]
    (place.folder / "folder").mkdir()
    before = place.state()
    with pytest.raises(kind, match=r"'data'|ref") as caught:
        place.register(place.with_input(**more))
    assert type(caught.value) is kind
    assert caught.value.next_step
    assert place.state() == before


@pytest.mark.parametrize("case", ["other size", "other second digest"])
def test_what_a_manifest_says_of_an_input_is_checked_against_stored_bytes_too(
    place: Place, case: str
) -> None:
    """That the bytes are in the store already lets no false statement about them in."""
    place.register(place.with_input())
    before = place.state()
    more, kind = REFUSED_INPUTS[case]
    with pytest.raises(kind):
        place.register(place.with_input(**more))
    assert place.state() == before


def test_true_statements_about_an_input_are_accepted(place: Place) -> None:
    """Size and second digest as they are; stored already or not."""
    digests = digests_of(DATA)
    more: dict[str, Any] = {
        "size_bytes": len(DATA),
        "blake3": digests.blake3,
        "media_type": "text/csv",
    }
    assert place.register(place.with_input(**more)) is True
    assert place.register(place.with_input(size_bytes=len(DATA))) is True


def test_a_stored_input_that_was_altered_is_refused(place: Place) -> None:
    """The store's copy is verified before a run rests on it: DigestMismatchError."""
    file = place.with_input()
    place.register(file)
    place.blobs.objects[blob_name(sha256_hex(DATA))] = DATA.swapcase()
    before = place.state()
    with pytest.raises(DigestMismatchError):
        place.register(file)
    assert place.state() == before


def test_a_pinned_config_that_was_not_published_is_refused(place: Place) -> None:
    """Unless first versions may come along, and the file is there."""
    before = place.state()
    with pytest.raises(ConfigNotFoundError):
        place.register(place.with_config())
    assert place.state() == before


def test_the_first_version_of_a_config_may_come_with_the_manifest(place: Place) -> None:
    """Published with a reason that names the manifest; once."""
    file = place.with_config()
    assert place.register(file, first=True) is True
    published = place.plane.configs.find("limits")
    assert published.version.config_version == 1
    assert published.version.digest == file.manifest.config_versions[0].digest
    assert file.fingerprint in published.reason
    assert published.actor == ACTOR
    assert place.plane.scope(file.fingerprint).config("limits") == {"max": 3}
    assert place.register(file, first=True) is False


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"version": 2}, ConfigNotFoundError),
        ({"digest": "0" * 64}, InputMismatchError),
        ({"ref": "nowhere.yaml"}, InputMissingError),
        ({"ref": "../limits.yaml"}, InputMissingError),
        ({"ref": None}, ConfigNotFoundError),
    ],
    ids=["version 2", "another digest", "no file", "traversal", "no ref"],
)
def test_nothing_but_a_first_version_with_its_own_digest_comes_along(
    place: Place, changes: dict[str, Any], kind: type[RunOperateError]
) -> None:
    """Refused with store and ledger unchanged."""
    version = changes.pop("version", 1)
    file = place.with_config(version, **changes)
    before = place.state()
    with pytest.raises(kind):
        place.register(file, first=True)
    changes["version"] = version
    assert place.state() == before


def test_a_manifest_never_publishes_over_an_existing_config(place: Place) -> None:
    """Version 1 with other content is refused by its digest, whatever the file holds."""
    publish_config(place.plane, "limits", {"max": 99}, reason="r")
    before = place.state()
    with pytest.raises(VersionNotPinnedError):
        place.register(place.with_config(), first=True)
    assert place.state() == before


def test_all_is_checked_before_anything_is_written(place: Place) -> None:
    """A good config beside a bad input: neither is stored."""
    pins = [pin.to_json_value() for pin in place.with_config().manifest.config_versions]
    bad = [{"name": "data", "ref": {"ref": "data.csv", "digest": "0" * 64}}]
    before = place.state()
    with pytest.raises(InputMismatchError):
        place.register(place.file(config_versions=pins, inputs=bad), first=True)
    assert place.state() == before


@pytest.mark.parametrize("survive", [0, 1, 2])
def test_a_crash_on_the_way_is_completed_by_registering_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, survive: int
) -> None:
    """After any number of stored objects: no entry speaks of the run until all is there."""
    file = place.with_input()
    left = [survive]
    stage = MemoryBackend.stage

    def failing(backend: MemoryBackend) -> Any:
        if left[0] == 0:
            raise BackendUnavailableError("the machine stopped")
        left[0] -= 1
        return stage(backend)

    def no_entry(*_: Any, **__: Any) -> Any:
        raise BackendUnavailableError("the machine stopped")

    with monkeypatch.context() as crash:
        crash.setattr(MemoryBackend, "stage", failing)
        crash.setattr(place.plane.ledger, "append_with", no_entry)
        with pytest.raises(BackendUnavailableError):
            place.register(file)
    assert not place.plane.runs.is_registered(file.fingerprint)

    assert place.register(file) is True
    assert place.plane.scope(file.fingerprint).input_bytes("data") == DATA


def test_an_unregistered_fingerprint_is_refused_with_what_to_do(place: Place) -> None:
    """Even if its blob is there: only the entry makes it a run."""
    file = place.file()
    place.plane.store.put_bytes(canonical_bytes(file.manifest), media_type="application/json")
    for ask in (place.plane.runs.manifest, place.plane.runs.require_registered, place.plane.scope):
        with pytest.raises(ManifestNotRegisteredError, match="ro manifest register"):
            ask(file.fingerprint)


def test_what_a_reader_does_to_a_manifest_reaches_no_other_reader(place: Place) -> None:
    """Each answer is a manifest of its own, though its bytes are read once."""
    file = place.file(parameters={"n": 1})
    place.register(file)
    place.plane.runs.manifest(file.fingerprint).parameters["n"] = 2
    assert place.plane.runs.manifest(file.fingerprint).parameters == {"n": 1}


def test_an_altered_manifest_blob_is_no_run(place: Place) -> None:
    """A changed byte: DigestMismatchError, not another run."""
    file = place.file()
    place.register(file)
    place.blobs.objects[blob_name(file.fingerprint)] = b"{}"
    fresh = Plane.over(place.blobs, place.log, clock=ManualClock())
    with pytest.raises(DigestMismatchError):
        fresh.runs.manifest(file.fingerprint)


def test_pins_are_checked_by_digest(place: Place) -> None:
    """The published digest, or no registration."""
    pin = publish_config(place.plane, "limits", {"max": 3}, reason="r").version
    assert isinstance(pin, PinnedConfigRef)
    assert place.register(place.with_config()) is True
    with pytest.raises(VersionNotPinnedError):
        place.register(place.with_config(digest="0" * 64))
