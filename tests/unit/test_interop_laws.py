"""The engine's gate laws: conformance vectors, and what holds for every bundle.

The vectors (``vectors/interop/gate_laws.json``) were computed with ``hashlib`` alone: ``hashed``
names the files of the sealed bundle in the order in which their bytes are concatenated.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ro_platform.cli.gate import verify as verify_command
from ro_platform.contracts.gate import GateStatus
from ro_platform.engine_formats.bundle import FLAG, INDEX, FilePlace, open_bundle
from ro_platform.engine_formats.laws import LAWS, EngineGateVerdict, LawOptions
from ro_platform.engine_formats.verification import verify_bundle
from ro_platform.errors import BundleRefusedError, EngineGateFailedError
from tests.effort import times

VECTORS: list[dict[str, Any]] = json.loads(
    Path(__file__).with_name("vectors").joinpath("interop/gate_laws.json").read_text()
)
ALL_FILES, LISTED_FILES, MEMBER_DIGESTS = LAWS


def of(*expected: str) -> pytest.MarkDecorator:
    """The vectors with that outcome, as parameters."""
    found = [vector for vector in VECTORS if vector["expect"] in expected]
    return pytest.mark.parametrize("vector", found, ids=lambda vector: vector["name"])


def laid_out(folder: Path, files: dict[str, bytes]) -> Path:
    """The folder, with these files in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def judged(vector: dict[str, Any], folder: Path) -> EngineGateVerdict:
    """The verdict on a vector's bundle."""
    files = {name: text.encode() for name, text in vector["files"].items()}
    options = vector.get("options", {})
    return verify_bundle(laid_out(folder / "bundle", files), vector["law"], **options)


def sealed(folder: Path, law: str, members: dict[str, bytes]) -> Path:
    """A bundle of these members as an engine seals it: digests in the index, then the flag."""
    entries = [{"path": name, "sha256_hex": sha256(data)} for name, data in members.items()]
    files = {**members, INDEX: json.dumps({"members": entries}).encode()}
    ordered = sorted(files if law == ALL_FILES else members, key=str.encode)
    material = b"".join(files[name] for name in ordered)
    if law == MEMBER_DIGESTS:
        material = "".join(entry["sha256_hex"] for entry in entries).encode()
    return laid_out(folder, {**files, FLAG: f"sha256_hex = {sha256(material)}\n".encode()})


def sha256(data: bytes) -> str:
    """The hex SHA-256."""
    return hashlib.sha256(data).hexdigest()


@of("PASS")
def test_a_bundle_as_it_was_sealed_passes(vector: dict[str, Any], tmp_path: Path) -> None:
    """The law gives the sealed digest; what is no fault but worth knowing is said."""
    verdict = judged(vector, tmp_path)
    assert verdict.status is GateStatus.PASS, verdict.first_difference
    assert verdict.computed_digest == verdict.expected_digest == vector["digest"]
    assert (verdict.first_difference, verdict.likely_cause) == (None, None)
    assert verdict.uncovered == tuple(vector.get("uncovered", ()))
    assert vector.get("remark", "") in "; ".join(verdict.remarks)
    verdict.require_pass()


@of("FAIL")
def test_a_bundle_that_changed_fails_and_says_why(vector: dict[str, Any], tmp_path: Path) -> None:
    """FAIL names the first difference and the likely cause."""
    verdict = judged(vector, tmp_path)
    assert verdict.status is GateStatus.FAIL
    assert verdict.first_difference is not None
    assert verdict.first_difference.path == vector["first"]
    assert verdict.likely_cause is not None
    assert verdict.likely_cause.cause == vector["cause"]
    assert (verdict.computed_digest == verdict.expected_digest) is vector.get("law_alone", False)
    with pytest.raises(EngineGateFailedError):
        verdict.require_pass()


@of("refused")
def test_what_cannot_be_judged_is_refused(vector: dict[str, Any], tmp_path: Path) -> None:
    """No verdict at all, and never PASS, in words that say what is wrong."""
    with pytest.raises(BundleRefusedError, match="There is no verdict") as refusal:
        judged(vector, tmp_path)
    assert vector.get("words", "") in refusal.value.message
    assert refusal.value.exit_code == 3


@of("PASS", "FAIL")
def test_the_vectors_digests_are_plain_sha256(vector: dict[str, Any]) -> None:
    """Each vector's digest is the SHA-256 of the concatenated files that it names, by hashlib."""
    files = vector.get("sealed", vector["files"])
    if "hashed" in vector:
        assert (
            sha256("".join(files[name] for name in vector["hashed"]).encode()) == vector["digest"]
        )
    else:
        assert vector["law"] == MEMBER_DIGESTS or vector["expect"] == "FAIL"


def test_the_command_names_every_law() -> None:
    """The help of ``ro gate verify`` lists the laws of the registry."""
    assert verify_command.help is not None
    assert set(re.findall(r"sha256_\w+", verify_command.help)) == set(LAWS)


def test_every_law_has_vectors_of_every_outcome() -> None:
    """The registry and the vectors name the same laws, each with PASS, FAIL and refusal."""
    for law in LAWS:
        outcomes = {vector["expect"] for vector in VECTORS if vector["law"] == law}
        assert outcomes == {"PASS", "FAIL", "refused"}
    assert len(LAWS) == 3


NAMES = st.lists(
    st.text(alphabet="ab/-.é", min_size=1, max_size=6).filter(
        lambda name: ".." not in name and Path(name).as_posix() == name != "." and name[0] != "/"
    ),
    min_size=1,
    max_size=5,
    unique=True,
).filter(lambda names: not any(a.startswith(f"{b}/") for a in names for b in names))
MEMBERS = NAMES.flatmap(
    lambda names: st.fixed_dictionaries({name: st.binary(max_size=40) for name in names})
)
FRESH = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=times(60)
)
COUNT = iter(range(10**9))


def fresh(folder: Path) -> Path:
    """A new folder for an example."""
    return folder / f"{next(COUNT)}"


@pytest.mark.parametrize("law", LAWS)
@given(members=MEMBERS)
@FRESH
def test_every_sealed_bundle_passes(law: str, members: dict[str, bytes], tmp_path: Path) -> None:
    """Whatever the names and bytes, what was sealed by a law passes under it."""
    verdict = verify_bundle(sealed(fresh(tmp_path), law, members), law)
    assert verdict.status is GateStatus.PASS, verdict
    assert verdict.members_verified == len(members)


@pytest.mark.parametrize("law", LAWS)
@given(members=MEMBERS, data=st.data())
@FRESH
def test_any_changed_byte_is_a_fail(
    law: str, members: dict[str, bytes], data: st.DataObject, tmp_path: Path
) -> None:
    """One byte changed in any file that the law or the index vouches for is found and named."""
    folder = sealed(fresh(tmp_path), law, {**members, "last": b"x"})
    name = data.draw(st.sampled_from(sorted(n for n, d in {**members, "last": b"x"}.items() if d)))
    content = bytearray((folder / name).read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    (folder / name).write_bytes(content)
    verdict = verify_bundle(folder, law)
    assert verdict.status is GateStatus.FAIL
    assert verdict.differing_members == (name,)


@given(members=MEMBERS, data=st.data())
@FRESH
def test_without_digests_of_their_own_a_changed_byte_fails_by_the_law(
    members: dict[str, bytes], data: st.DataObject, tmp_path: Path
) -> None:
    """Under the laws that hash files, the law's digest alone finds any changed byte."""
    members = {**members, "last": b"x"}
    folder = fresh(tmp_path)
    digest = sha256(b"".join(members[name] for name in sorted(members, key=str.encode)))
    laid_out(folder, {**members, FLAG: f"sha256_hex = {digest}\n".encode()})
    assert verify_bundle(folder, ALL_FILES).status is GateStatus.PASS
    name = data.draw(st.sampled_from(sorted(n for n, d in members.items() if d)))
    content = bytearray(members[name])
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    (folder / name).write_bytes(content)
    assert verify_bundle(folder, ALL_FILES).status is GateStatus.FAIL


@given(members=MEMBERS, order=st.randoms(use_true_random=False))
@FRESH
def test_the_order_of_writing_and_listing_does_not_count(
    members: dict[str, bytes], order: Any, tmp_path: Path
) -> None:
    """Files made in another order, and an index in another order, give the same digest."""
    shuffled = list(members.items())
    order.shuffle(shuffled)
    first = verify_bundle(sealed(fresh(tmp_path), LISTED_FILES, members), LISTED_FILES)
    second = verify_bundle(sealed(fresh(tmp_path), LISTED_FILES, dict(shuffled)), LISTED_FILES)
    assert first.computed_digest == second.computed_digest


@given(members=MEMBERS)
@FRESH
def test_law_3_reads_no_members_bytes(members: dict[str, bytes], tmp_path: Path) -> None:
    """The law's digest comes from the index alone: it never asks for a file, present or not."""
    folder = sealed(fresh(tmp_path), MEMBER_DIGESTS, members)
    for name in members:
        (folder / name).unlink()

    def refuse(place: FilePlace) -> Iterator[bytes]:
        raise AssertionError(f"read {place}")

    with open_bundle(folder) as bundle:
        digest = LAWS[MEMBER_DIGESTS].digest(bundle, LawOptions(), refuse)
    assert digest == sha256("".join(map(sha256, members.values())).encode())
