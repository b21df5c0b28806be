"""Reading a bundle: nothing outside it is read, no link is followed, no large file is held."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import tracemalloc
from pathlib import Path

import pytest

from ro_platform.contracts.gate import GateStatus
from ro_platform.engine_formats import bundle as reading
from ro_platform.engine_formats import verification as diagnosis
from ro_platform.engine_formats.bundle import open_folder
from ro_platform.engine_formats.laws import LAWS, Cause, DifferenceKind
from ro_platform.engine_formats.verification import verify_bundle
from ro_platform.errors import BundleRefusedError, NotFoundError

ALL_FILES, LISTED_FILES, MEMBER_DIGESTS = LAWS
WORLD = "ab" * 32
CRLF = b"\r\n"


def sha256(data: bytes) -> str:
    """The hex SHA-256."""
    return hashlib.sha256(data).hexdigest()


def bundle_of(folder: Path, *paths: str, digest: str, own: dict[str, str] | None = None) -> Path:
    """A folder with an index of these paths, and a flag with that digest."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = [
        {"path": path} | ({"sha256_hex": own[path]} if own and path in own else {})
        for path in paths
    ]
    (folder / "index.json").write_text(json.dumps(entries))
    (folder / "_passed.flag").write_bytes(f"sha256_hex = {digest}\n".encode())
    return folder


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("kind", ["file", "folder", "dangling", "fifo", "inner"])
def test_a_link_or_device_is_refused(law: str, kind: str, tmp_path: Path) -> None:
    """A link refuses the bundle wherever it points, listed or not; so does what is no file."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "a").write_bytes(b"x")
    folder = bundle_of(tmp_path / "b", "a", digest=sha256(b"x"), own={"a": sha256(b"x")})
    if kind == "fifo":
        os.mkfifo(folder / "a")
    elif kind == "inner":
        (folder / "real").write_bytes(b"x")
        (folder / "a").symlink_to("real")
    else:
        target = {"file": secret / "a", "folder": secret, "dangling": tmp_path / "gone"}[kind]
        (folder / "a").symlink_to(target)
    with pytest.raises(BundleRefusedError, match=r"link|neither a file"):
        verify_bundle(folder, law)


@pytest.mark.parametrize("name", ["index.json", "_passed.flag"])
def test_index_and_flag_may_be_no_links(name: str, tmp_path: Path) -> None:
    """The two files that decide are not read through a link either."""
    folder = bundle_of(tmp_path / "b", "a", digest=sha256(b"x"))
    (folder / "a").write_bytes(b"x")
    (folder / name).rename(tmp_path / "real")
    (folder / name).symlink_to(tmp_path / "real")
    with pytest.raises(BundleRefusedError, match="link"):
        verify_bundle(folder, LISTED_FILES)


def test_the_folder_itself_may_be_no_link(tmp_path: Path) -> None:
    """A link such as ``latest`` is refused: a bundle is named by its own folder."""
    folder = bundle_of(tmp_path / "b", "a", digest=sha256(b"x"))
    (folder / "a").write_bytes(b"x")
    (tmp_path / "latest").symlink_to(folder)
    assert verify_bundle(folder, LISTED_FILES).status is GateStatus.PASS
    with pytest.raises(BundleRefusedError, match="link"):
        verify_bundle(tmp_path / "latest", LISTED_FILES)


def test_a_folder_turned_into_a_link_while_it_is_read_is_not_followed(tmp_path: Path) -> None:
    """Between listing and reading, a folder swapped for a link leads nowhere."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/a").write_bytes(b"secret")
    (tmp_path / "b/sub").mkdir(parents=True)
    (tmp_path / "b/sub/a").write_bytes(b"x")
    with open_folder(tmp_path / "b") as held:
        assert held.files() == ("sub/a",)
        (tmp_path / "b/sub").rename(tmp_path / "b/old")
        (tmp_path / "b/sub").symlink_to(tmp_path / "outside")
        with pytest.raises(BundleRefusedError, match="link"):
            list(held.chunks("sub/a"))


def test_a_folder_that_is_renamed_while_it_is_read_stays_the_one(tmp_path: Path) -> None:
    """The folder is held, not its name: another one put in its place is not read."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b/a").write_bytes(b"mine")
    with open_folder(tmp_path / "b") as held:
        (tmp_path / "b").rename(tmp_path / "c")
        (tmp_path / "b").mkdir()
        (tmp_path / "b/a").write_bytes(b"other")
        assert held.read("a", 100) == b"mine"


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    """Bytes that change between the first and the last read are no evidence."""
    (tmp_path / "a").write_bytes(bytes(3 * reading.CHUNK))
    with open_folder(tmp_path) as held:
        chunks = held.chunks("a")
        next(chunks)
        with (tmp_path / "a").open("ab") as grown:
            grown.write(b"x")
        with pytest.raises(BundleRefusedError, match="changed while"):
            list(chunks)


@pytest.mark.parametrize("name", ["../a", "/etc/hostname", "a/../../b", "", ".", "a\nb", "a//b"])
def test_no_path_leaves_the_folder(name: str, tmp_path: Path) -> None:
    """A path that is not plainly inside is refused before anything is opened."""
    with open_folder(tmp_path) as held, pytest.raises(BundleRefusedError):
        list(held.chunks(name))


def test_a_missing_file_is_told_from_a_refused_one(tmp_path: Path) -> None:
    """Absence is a fact about the bundle (FAIL), not a reason not to judge."""
    with open_folder(tmp_path) as held, pytest.raises(NotFoundError):
        list(held.chunks("a"))


def test_a_missing_folder_and_a_file_for_a_folder_are_refused(tmp_path: Path) -> None:
    """There is no verdict about what is no folder."""
    (tmp_path / "file").write_bytes(b"x")
    for name in ("gone", "file"):
        with pytest.raises(BundleRefusedError):
            verify_bundle(tmp_path / name, ALL_FILES)


def test_a_tree_too_deep_is_refused(tmp_path: Path) -> None:
    """A bundle cannot exhaust the process by its depth."""
    deep = tmp_path.joinpath("b", *["d"] * (reading.MAX_DEPTH + 2))
    deep.mkdir(parents=True)
    with pytest.raises(BundleRefusedError, match="folders deep"):
        verify_bundle(tmp_path / "b", ALL_FILES)


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """Paths are sorted by their UTF-8 bytes; a name without them has no place in the order."""
    folder = bundle_of(tmp_path / "b", "a", digest=sha256(b"x"))
    (folder / os.fsdecode(b"\xff")).write_bytes(b"x")
    with pytest.raises(BundleRefusedError, match="no index may list"):
        verify_bundle(folder, ALL_FILES)


def test_paths_from_the_runs_root(tmp_path: Path) -> None:
    """With a run's root, the index's paths start there, that of index.json itself too."""
    data, folder = b"rows", tmp_path / "run/data/validation"
    index = "data/validation/index.json"
    folder.mkdir(parents=True)
    (tmp_path / "run/data/out.csv").write_bytes(data)
    bundle_of(folder, "data/out.csv", index, digest="0" * 64)
    material = data + (folder / "index.json").read_bytes()  # data/out.csv before data/validation/
    (folder / "_passed.flag").write_bytes(f"sha256_hex = {sha256(material)}\n".encode())
    verdict = verify_bundle(folder, LISTED_FILES, run_root=tmp_path / "run")
    assert (verdict.status, verdict.rule.path_base) == (GateStatus.PASS, "run_root")
    assert any("lists itself" in remark for remark in verdict.remarks)
    elsewhere = verify_bundle(folder, LISTED_FILES)
    assert elsewhere.first_difference is not None
    assert elsewhere.first_difference.kind is DifferenceKind.MEMBER_MISSING


def test_the_runs_root_is_not_left_through_a_link(tmp_path: Path) -> None:
    """What lies behind a link below the run's root is not read."""
    (tmp_path / "outside").write_bytes(b"x")
    folder = bundle_of(tmp_path / "run/v", "out.csv", digest=sha256(b"x"))
    (tmp_path / "run/out.csv").symlink_to(tmp_path / "outside")
    with pytest.raises(BundleRefusedError, match="link"):
        verify_bundle(folder, LISTED_FILES, run_root=tmp_path / "run")


def test_under_law_1_members_elsewhere_in_the_run_are_verified_too(tmp_path: Path) -> None:
    """A member outside the bundle is not hashed by the law, but by its own digest."""
    folder = tmp_path / "run/v"
    bundle_of(folder, "out.csv", digest="0" * 64, own={"out.csv": sha256(b"x")})
    sealed = sha256((folder / "index.json").read_bytes())
    (folder / "_passed.flag").write_bytes(f"sha256_hex = {sealed}\n".encode())
    (tmp_path / "run/out.csv").write_bytes(b"x")
    run = tmp_path / "run"
    assert verify_bundle(folder, ALL_FILES, run_root=run).status is GateStatus.PASS
    (tmp_path / "run/out.csv").write_bytes(b"y")
    assert verify_bundle(folder, ALL_FILES, run_root=run).differing_members == ("out.csv",)


def test_a_flag_kept_elsewhere(tmp_path: Path) -> None:
    """The flag may be named; the bundle's own is then neither read nor hashed."""
    folder = tmp_path / "b"
    folder.mkdir()
    (folder / "a").write_bytes(b"x")
    (folder / "_passed.flag").write_bytes(b"not a flag")
    flag = tmp_path / "kept.flag"
    flag.write_bytes(f"sha256_hex = {sha256(b'x')}\n".encode())
    assert verify_bundle(folder, ALL_FILES, flag=flag).status is GateStatus.PASS
    with pytest.raises(BundleRefusedError, match="no flag"):
        verify_bundle(folder, ALL_FILES, flag=tmp_path / "gone.flag")


@pytest.mark.parametrize("key", ["fingerprint", "manifest_fingerprint"])
def test_a_json_flag_of_another_world_fails(key: str, tmp_path: Path) -> None:
    """A JSON flag's manifest_fingerprint and the folder's are the same bytes, or it is FAIL."""
    for world, status in ((WORLD, GateStatus.PASS), ("cd" * 32, GateStatus.FAIL)):
        folder = tmp_path / f"{key}={world}" / "v"
        folder.mkdir(parents=True)
        (folder / "a").write_bytes(b"x")
        flag = {"manifest_fingerprint": WORLD, "bundle_digest_sha256": sha256(b"x")}
        (folder / "_passed.flag").write_text(json.dumps(flag))
        verdict = verify_bundle(folder, ALL_FILES)
        assert (verdict.status, verdict.manifest_fingerprint) == (status, WORLD)
    assert verdict.likely_cause is not None
    assert verdict.likely_cause.cause is Cause.OTHER_FLAG


def test_a_large_file_is_never_held_in_memory(tmp_path: Path) -> None:
    """Verifying 64 MiB takes the memory of a few pieces of 1 MiB, diagnosis included."""
    (tmp_path / "b").mkdir()
    with (tmp_path / "b/large").open("wb") as stream:
        stream.truncate(64 << 20)
    (tmp_path / "b/_passed.flag").write_bytes(f"sha256_hex = {'0' * 64}\n".encode())
    tracemalloc.start()
    try:
        verdict = verify_bundle(tmp_path / "b", ALL_FILES)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert verdict.status is GateStatus.FAIL
    assert peak < 8 << 20


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    """After verdicts and refusals of every kind the process holds what it held before."""
    folder = bundle_of(tmp_path / "b", "sub/a", "gone", digest=sha256(b"x"))
    (folder / "sub").mkdir()
    (folder / "sub/a").write_bytes(b"x")
    before = len(list(Path("/proc/self/fd").iterdir()))
    threads = threading.active_count()
    for law in (ALL_FILES, LISTED_FILES):
        assert verify_bundle(folder, law).status is GateStatus.FAIL
    with pytest.raises(BundleRefusedError, match="law needs it"):
        verify_bundle(folder, MEMBER_DIGESTS)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert threading.active_count() == threads


def test_a_verdict_names_its_rule(tmp_path: Path) -> None:
    """Another law or option is another rule_digest, so a verdict cannot pass for another's."""
    folder = bundle_of(tmp_path / "b", "a", digest=sha256(b"x"), own={"a": sha256(b"x")})
    (folder / "a").write_bytes(b"x")
    verdicts = [
        *(verify_bundle(folder, law) for law in LAWS),
        verify_bundle(folder, LISTED_FILES, index_order=True),
        verify_bundle(folder, LISTED_FILES, without_index=True),
        verify_bundle(folder, LISTED_FILES, run_root=folder),
    ]
    assert len({verdict.rule_digest for verdict in verdicts}) == len(verdicts)


def test_the_run_root_may_be_the_bundle_itself(tmp_path: Path) -> None:
    """Then index.json is still known as the index, however its path is reached."""
    (tmp_path / "a").write_bytes(b"x")
    folder = bundle_of(tmp_path, "a", "index.json", digest="0" * 64)
    material = b"x" + (folder / "index.json").read_bytes()
    (folder / "_passed.flag").write_bytes(f"sha256_hex = {sha256(material)}\n".encode())
    for root in (None, folder, folder / "." / ".." / folder.name):
        verdict = verify_bundle(folder, LISTED_FILES, run_root=root)
        assert verdict.status is GateStatus.PASS
        assert any("lists itself" in remark for remark in verdict.remarks)


def test_a_folder_whose_name_is_not_utf8_is_judged(tmp_path: Path) -> None:
    """What stands above the bundle is the reader's own affair; the verdict can still be written."""
    folder = bundle_of(tmp_path / os.fsdecode(b"\xff"), "a", digest=sha256(b"x"))
    (folder / "a").write_bytes(b"x")
    verdict = verify_bundle(folder, LISTED_FILES)
    assert verdict.status is GateStatus.PASS
    assert json.dumps(verdict.to_json_value(), ensure_ascii=False).encode()


def test_a_large_bundle_is_not_read_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the limit causes are not tried out, and the diagnosis says so."""
    folder = tmp_path / "b"
    folder.mkdir()
    (folder / "a").write_bytes(b"1\n")
    (folder / "_passed.flag").write_bytes(f"sha256_hex = {sha256(b'1' + CRLF)}\n".encode())
    found = verify_bundle(folder, ALL_FILES).likely_cause
    assert found is not None
    assert found.cause is Cause.LINE_ENDS
    monkeypatch.setattr(diagnosis, "_MAX_TRIAL_BYTES", 1)
    unknown = verify_bundle(folder, ALL_FILES).likely_cause
    assert unknown is not None
    assert unknown.cause is Cause.UNKNOWN
    assert "too large" in unknown.explanation


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize(
    ("text", "crlf", "lf"),
    [
        (b"a\nb\r\nc\rd\n\n", b"a\r\nb\r\nc\rd\r\n\r\n", b"a\nb\nc\rd\n\n"),
        (b"\r", b"\r", b"\r"),
        (b"\r\r\n", b"\r\r\n", b"\r\n"),
        (b"\0\n\r\n", b"\0\n\r\n", b"\0\n\r\n"),
        (b"", b"", b""),
    ],
)
def test_line_ends_are_restored_across_pieces(
    size: int, text: bytes, crlf: bytes, lf: bytes
) -> None:
    """However the bytes are cut: LF and CRLF become the one wanted, a lone CR and binary stay."""
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert b"".join(diagnosis.with_line_ends(pieces, CRLF)) == crlf
    assert b"".join(diagnosis.with_line_ends(pieces, b"\n")) == lf
