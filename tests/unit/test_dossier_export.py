"""A dossier: the same state gives the same file, it holds everything about the run, and it verifies
with a public key alone."""

from __future__ import annotations

import base64
import json
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.dsse import Envelope
from securesystemslib.signer import (  # type: ignore[attr-defined]
    CryptoSigner,
    SSlibKey,
)

from ro_platform.artifacts.store import ArtifactStore
from ro_platform.contracts import EntryKind, JobStatus
from ro_platform.dossier import container
from ro_platform.dossier.container import IN_TOTO, open_envelope, sealed_envelope
from ro_platform.dossier.export import kept_or_issued
from ro_platform.dossier.page import page
from ro_platform.dossier.verify import verify_dossier
from ro_platform.errors import (
    ArtifactNotFoundError,
    BindingCorruptError,
    DossierRefusedError,
    InvalidInputError,
    LedgerCorruptError,
    ManifestNotRegisteredError,
)
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.signing import SigningKey, VerifierKey, cosign
from tests.acting import erase_bytes, revoke_pass
from tests.unit.dossier_forgeries import parts_of, statement_of
from tests.unit.dossier_world import KEY, OTHER_KEY, DossierWorld
from tests.unit.older_entries import older_revocation
from tests.unit.small_world import BOSS


@pytest.fixture
def world() -> DossierWorld:
    """A run with everything in it."""
    made = DossierWorld()
    made.rich_run()
    return made


# --- exporting -----------------------------------------------------------------------------------


def test_the_same_state_gives_the_same_bytes(world: DossierWorld, tmp_path: Path) -> None:
    """Also while other runs go on, as long as the checkpoint is the same; with and without the
    artifacts' bytes."""
    for with_artifacts in (False, True):
        one, two = tmp_path / f"one-{with_artifacts}", tmp_path / f"two-{with_artifacts}"
        world.dossier(one, with_artifacts=with_artifacts)
        world.dossier(two, with_artifacts=with_artifacts)
        assert one.read_bytes() == two.read_bytes()


def test_it_holds_everything_about_the_run(world: DossierWorld, tmp_path: Path) -> None:
    """Every entry of the run, its configs' publication, its gates, and what touched it."""
    source = world.plane.store.binding("source", world.fingerprint)
    assert source is not None
    revoke_pass(world.plane, "source.good", source, reason="wrong")
    dossier = world.dossier(tmp_path / "d")
    own = [line.entry for record in dossier.records for line in record.lines]
    seals = [record.seal_line.entry for record in dossier.records]
    recorded = list(world.plane.ledger.scan(run_id=dossier.run_id))
    assert sorted(own + seals, key=lambda entry: entry.seq) == recorded
    kinds = [line.entry.kind for line in dossier.context]
    assert kinds.count(EntryKind.CONFIG_PUBLISHED) == 1
    assert kinds.count(EntryKind.PASS_REVOKED) == 1
    assert kinds.count(EntryKind.ARTIFACT_BLOCKED) == 2
    assert kinds.count(EntryKind.ADMIN_EVENT) == 5
    assert kinds.count(EntryKind.GATE_SET_DECLARED) == 3
    assert len(dossier.attempts) == 8
    assert [ref.ref.split("/")[1] for ref in dossier.refs] == ["late", "report", "source"]
    assert len(dossier.verdicts) == 4


def test_a_block_that_began_in_another_run_brings_its_reason(
    world: DossierWorld, tmp_path: Path
) -> None:
    """What blocks this run's artifacts was decided about another run's: intent, decision and
    outcome are in the dossier, too."""
    elsewhere = world.register("other")
    foreign = world.made("foreign", under=elsewhere)
    world.made("user", foreign)
    revoke_pass(world.plane, "foreign.good", foreign, reason="bad batch")
    dossier = world.dossier(tmp_path / "d")
    told = [line.entry for line in dossier.context]
    assert [entry.kind for entry in told if entry.body.get("reason") == "bad batch"] == [
        EntryKind.ADMIN_EVENT,
        EntryKind.PASS_REVOKED,
        EntryKind.ADMIN_EVENT,
    ]


def test_what_an_older_release_decided_about_another_run_is_in_it(
    world: DossierWorld, tmp_path: Path
) -> None:
    """Its event has no intent beside it: it and the decision are brought all the same."""
    foreign = world.made("foreign", under=world.register("other"))
    world.made("user", foreign)
    body = older_revocation(world.plane, "foreign.good", foreign)
    told = [line.entry for line in world.dossier(tmp_path / "d").context]
    of_it = [entry for entry in told if entry.body.get("admin_event_id") == body.admin_event_id]
    assert [entry.kind for entry in of_it] == [
        EntryKind.PASS_REVOKED,
        EntryKind.ADMIN_EVENT,
        EntryKind.ARTIFACT_BLOCKED,
    ]


def test_any_tar_reads_it(world: DossierWorld, tmp_path: Path) -> None:
    """Without any of our tools one sees what is in it."""
    world.dossier(tmp_path / "d", with_artifacts=True)
    listed = subprocess.run(
        ["tar", "tf", str(tmp_path / "d")], capture_output=True, text=True, check=True
    )
    names = listed.stdout.split()
    assert names == sorted(names)
    assert set(container.DOCUMENTS) < set(names)
    assert listed.stderr == ""


def test_a_run_with_an_open_attempt_has_no_dossier_yet(tmp_path: Path) -> None:
    """What may still change is not vouched for."""
    world = DossierWorld()
    world.begun("source")
    with pytest.raises(InvalidInputError, match="did not end"):
        world.dossier(tmp_path / "d")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_ended_unsealed_is_sealed_by_the_export(tmp_path: Path) -> None:
    """By whoever exports it."""
    world = DossierWorld()
    world.made("source")
    seal = world.dossier(tmp_path / "d").records[-1].seal_line.entry
    assert seal.actor == BOSS


def test_a_run_that_bound_nothing_has_a_dossier(tmp_path: Path) -> None:
    """A failed run is worth proving, too; its statement speaks of the manifest."""
    world = DossierWorld()
    work = world.begun("source")
    world.plane.attempts.move(work.attempt, JobStatus.LOST, dagster_run_id=work.dagster_run_id)
    dossier = world.dossier(tmp_path / "d")
    (subject,) = statement_of(parts_of((tmp_path / "d").read_bytes()))["subject"]
    assert dossier.refs == ()
    assert subject == {"name": "manifest.json", "digest": {"sha256": world.fingerprint}}


def test_an_unknown_run_has_none(world: DossierWorld, tmp_path: Path) -> None:
    """A manifest that is not registered."""
    with pytest.raises(ManifestNotRegisteredError):
        world.exporter().export("f" * 64, tmp_path / "d", actor=BOSS)


def test_no_file_is_overwritten(world: DossierWorld, tmp_path: Path) -> None:
    """Nor is one left in a folder that is not there."""
    (tmp_path / "d").write_text("mine")
    with pytest.raises(InvalidInputError, match="already"):
        world.dossier(tmp_path / "d")
    with pytest.raises(InvalidInputError):
        world.dossier(tmp_path / "none" / "d")
    assert (tmp_path / "d").read_text() == "mine"


def test_bytes_that_the_gates_do_not_let_out_are_withheld(
    world: DossierWorld, tmp_path: Path
) -> None:
    """A dossier is no way around the guard; it says which bytes are missing, and why."""
    failed = world.made("failed", data=b"secret rows", passed=False)
    dossier = world.dossier(tmp_path / "d", with_artifacts=True)
    assert dossier.withheld == {failed.digest: "RO_GATE_ABSENT"}
    assert b"secret rows" not in (tmp_path / "d").read_bytes()
    assert b"Gr\xc3\xbc\xc3\x9fe" in (tmp_path / "d").read_bytes()


def test_an_erased_artifact_is_withheld_and_older_dossiers_still_verify(
    world: DossierWorld, tmp_path: Path
) -> None:
    """The tombstone is in the new dossier; the old one says what it always said."""
    source = world.plane.store.binding("source", world.fingerprint)
    assert source is not None
    world.dossier(tmp_path / "old", with_artifacts=True)
    erase_bytes(world.plane, source.digest, reason="a person asked")
    dossier = world.dossier(tmp_path / "new", with_artifacts=True)
    assert dossier.withheld[source.digest] == "RO_ARTIFACT_ERASED"
    assert EntryKind.ARTIFACT_ERASED in [line.entry.kind for line in dossier.context]
    assert verify_dossier(tmp_path / "old", KEY.verifier).withheld == {}


def test_a_folder_comes_with_its_files(tmp_path: Path) -> None:
    """A tree's members are artifacts' bytes, too, and one that is missing is missed."""
    world, folder = DossierWorld(), tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "one.txt").write_bytes(b"one")
    (folder / "two.txt").write_bytes(b"two")
    tree = world.store.put_tree(folder)
    work = world.begun("tree")
    ref = world.plane.publication.publish("tree", tree, work, actor=BOSS)
    world.plane.attempts.move(work.attempt, JobStatus.SUCCEEDED, dagster_run_id=None)
    world.judge(ref)
    world.dossier(tmp_path / "d", with_artifacts=True)
    parts = parts_of((tmp_path / "d").read_bytes())
    assert {b"one", b"two"} < {data for name, data in parts.items() if "artifacts/" in name}


def test_damage_in_the_store_is_found_by_the_export(world: DossierWorld, tmp_path: Path) -> None:
    """No dossier is made of what is not what was recorded."""
    source = world.plane.store.binding("source", world.fingerprint)
    assert source is not None
    store = ArtifactStore(type(world.blobs)())
    exporter = world.exporter()
    exporter._store = store
    with pytest.raises((BindingCorruptError, ArtifactNotFoundError)):
        exporter.export(world.fingerprint, tmp_path / "d", actor=BOSS)
    assert list(tmp_path.iterdir()) == []


def test_the_checkpoint_is_the_one_kept_if_it_covers_the_run(
    world: DossierWorld, tmp_path: Path
) -> None:
    """And a new one otherwise, which is kept from then on."""
    key = SigningKey.parse(KEY.secret_text())
    checkpoints = world.plane.checkpoints
    key = SigningKey(checkpoints.origin, bytes(range(32)))
    exporter = world.exporter(key)
    exporter._notes = kept_or_issued(checkpoints, key)
    first = exporter.export(world.fingerprint, tmp_path / "one", actor=BOSS)
    world.register("meanwhile")
    second = exporter.export(world.fingerprint, tmp_path / "two", actor=BOSS)
    assert first.checkpoint == second.checkpoint
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    world.made("more")
    third = exporter.export(world.fingerprint, tmp_path / "three", actor=BOSS)
    assert third.checkpoint.size == world.plane.ledger.size()


# --- verifying -----------------------------------------------------------------------------------


def test_another_key_verifies_nothing(world: DossierWorld, tmp_path: Path) -> None:
    """Even under the same name."""
    world.dossier(tmp_path / "d")
    with pytest.raises(DossierRefusedError, match="signed by"):
        verify_dossier(tmp_path / "d", OTHER_KEY.verifier)


def test_a_witness_that_was_asked_for_must_have_signed(world: DossierWorld, tmp_path: Path) -> None:
    """A checkpoint that a witness cosigned convinces those who trust the witness; one that it did
    not sign is refused to them."""
    witness, stranger = SigningKey("witness", bytes(32)), SigningKey("stranger", bytes(32))
    exporter = world.exporter()
    notes = exporter._notes
    exporter._notes = lambda least: cosign(notes(least), witness)
    exporter.export(world.fingerprint, tmp_path / "d", actor=BOSS)
    assert verify_dossier(tmp_path / "d", KEY.verifier, [witness.verifier]).witnesses == (
        "witness",
    )
    with pytest.raises(DossierRefusedError, match="stranger"):
        verify_dossier(tmp_path / "d", KEY.verifier, [stranger.verifier])


def test_a_file_that_is_not_there_is_the_callers_mistake(tmp_path: Path) -> None:
    """That is no forgery."""
    with pytest.raises(InvalidInputError):
        verify_dossier(tmp_path / "none", KEY.verifier)


def test_an_altered_ledger_gives_no_dossier(world: DossierWorld, tmp_path: Path) -> None:
    """What the export cannot prove, it does not sign."""
    exporter = world.exporter()
    reader = world.plane.ledger
    paths = reader.inclusion_paths([0], reader.size())
    reader.inclusion_paths = lambda seqs, size: dict.fromkeys(seqs, paths[0])  # type: ignore[method-assign]
    with pytest.raises((DossierRefusedError, LedgerCorruptError)):
        exporter.export(world.fingerprint, tmp_path / "d", actor=BOSS)
    assert list(tmp_path.iterdir()) == []


# --- the envelope, with another implementation ----------------------------------------------------


def envelope_key(key: VerifierKey) -> SSlibKey:
    """The same key for securesystemslib."""
    return SSlibKey(
        f"{key.name}+{key.key_id.hex()}", "ed25519", "ed25519", {"public": key.public.hex()}
    )


def test_what_we_sign_verifies_with_securesystemslib(world: DossierWorld, tmp_path: Path) -> None:
    """A dossier's statement is an ordinary DSSE envelope."""
    world.dossier(tmp_path / "d")
    data = parts_of((tmp_path / "d").read_bytes())[container.STATEMENT]
    envelope = Envelope.from_dict(json.loads(data))
    key = envelope_key(KEY.verifier)
    assert list(envelope.verify([key], 1)) == [key.keyid]
    assert json.loads(envelope.payload)["_type"] == "https://in-toto.io/Statement/v1"


def test_what_securesystemslib_signs_verifies_here() -> None:
    """And with one byte changed it does not."""
    signer = CryptoSigner.generate_ed25519()
    public = bytes.fromhex(signer.public_key.keyval["public"])
    key = VerifierKey("theirs", public)
    signer.public_key.keyid = f"theirs+{key.key_id.hex()}"
    envelope = Envelope(b'{"a":1}', IN_TOTO, {})
    envelope.sign(signer)
    data = canonical_bytes(envelope.to_dict())
    assert open_envelope(data, key) == b'{"a":1}'
    changed = data.replace(base64.b64encode(b'{"a":1}'), base64.b64encode(b'{"a":2}'))
    with pytest.raises(DossierRefusedError, match="not genuine"):
        open_envelope(changed, key)


def test_an_envelope_is_opened_only_as_what_it_was_signed_for() -> None:
    """The payload type is signed with the payload."""
    with pytest.raises(DossierRefusedError, match="payload type"):
        open_envelope(sealed_envelope(b"x", KEY, payload_type="text/plain"), KEY.verifier)
    assert open_envelope(sealed_envelope(b"x", KEY), KEY.verifier) == b"x"


# --- the page ------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """The tags and attributes of a page, and whether they are balanced."""

    VOID = frozenset({"meta", "wbr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, Any]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See :class:`HTMLParser`."""
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See :class:`HTMLParser`."""
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """See :class:`HTMLParser`."""
        assert self.open.pop() == tag


def test_the_page_needs_nothing_and_runs_nothing(world: DossierWorld, tmp_path: Path) -> None:
    """No script, no link to anything; what somebody wrote is text; each table has headings that a
    screen reader announces, and the picture has words."""
    text = page(world.dossier(tmp_path / "d"))
    tags = Tags(text)
    assert tags.open == []
    names = {tag for tag, _ in tags.found}
    assert not names & {"script", "link", "img", "iframe", "b"}
    assert not {"src", "href", "onclick"} & {key for _, attrs in tags.found for key in attrs}
    assert "a &lt;b&gt;reason&lt;/b&gt; &amp; more" in text
    heads = [attrs for tag, attrs in tags.found if tag == "th"]
    assert heads
    assert all(attrs == {"scope": "col"} for attrs in heads)
    assert "report was made from source" in text
    assert ("html", {"lang": "en"}) in tags.found


def test_the_page_says_which_gate_does_not_stand(world: DossierWorld, tmp_path: Path) -> None:
    """A revoked PASS and what it blocks are seen in the graph."""
    source = world.plane.store.binding("source", world.fingerprint)
    assert source is not None
    revoke_pass(world.plane, "source.good", source, reason="wrong")
    text = page(world.dossier(tmp_path / "d"))
    assert "<title>source: REVOKED source.good</title>" in text
    assert "<title>report: BLOCKED</title>" in text
