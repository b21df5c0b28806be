"""An engine's sealed bundle is verified, its locators checked, its lineage hashes recomputed.

From outside: ``ro`` as a process, bundles sealed with ``hashlib``, and a real git for line ends.
"""

from __future__ import annotations

import json
import re
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from tests.acceptance.product import BIN, ROOT, Answer, Deployment

HOW_TO = ROOT / "docs/how-to/verify-an-engine-bundle.md"
WORLD = "ab" * 32
COMMIT = "0123456789abcdef0123456789abcdef01234567"
ALL_FILES = "sha256_bundle_digest"
LISTED_FILES = "sha256_index_json_ascii_lex_raw_bytes"
MEMBER_DIGESTS = "sha256_member_digest_concat"
MEMBERS = {"checks/rows.csv": b"check,rows\r\nsites,12\r\n", "report.json": b'{"ok":true}\n'}


def seal(folder: Path, law: str) -> Path:
    """The members, their index, and the flag of that law, as the engine would write them."""
    for name, data in MEMBERS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    own = {name: sha256(data).hexdigest() for name, data in MEMBERS.items()}
    entries = [{"path": name, "sha256_hex": digest} for name, digest in own.items()]
    index = json.dumps({"members": entries}).encode()
    (folder / "index.json").write_bytes(index)
    material = {
        ALL_FILES: MEMBERS["checks/rows.csv"] + index + MEMBERS["report.json"],
        LISTED_FILES: MEMBERS["checks/rows.csv"] + MEMBERS["report.json"],
        MEMBER_DIGESTS: "".join(own.values()).encode(),
    }[law]
    (folder / "_passed.flag").write_text(f"sha256_hex = {sha256(material).hexdigest()}\n")
    return folder


def verify(product: Deployment, folder: Path, law: str, *more: object) -> Answer:
    """``ro gate verify`` on the folder."""
    return product.ro("gate", "verify", folder, "--law", law, *more)


def git(folder: Path, *arguments: str) -> None:
    """A git command in that folder, with no configuration but its own."""
    named = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "core.autocrlf=false"]
    environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "GIT_CONFIG_GLOBAL": "/dev/null"}
    subprocess.run(
        ["git", *named, *arguments], cwd=folder, check=True, capture_output=True, env=environment
    )


@pytest.mark.parametrize("law", [ALL_FILES, LISTED_FILES, MEMBER_DIGESTS])
def test_a_sealed_bundle_passes_until_one_byte_changes(
    fresh: Deployment, tmp_path: Path, law: str
) -> None:
    """PASS exits with 0; one changed byte is FAIL with 5, and names the file and the cause."""
    folder = seal(tmp_path / "bundle", law)
    passed = verify(fresh, folder, law)
    assert passed.code == 0, passed.err
    assert "PASS" in passed.out
    (folder / "report.json").write_bytes(MEMBERS["report.json"].replace(b"true", b"trUe"))
    failed = verify(fresh, folder, law, "--json")
    assert failed.code == 5
    verdict = failed.json()
    assert verdict["status"] == "FAIL"
    assert verdict["first_difference"]["path"] == "report.json"
    assert verdict["first_difference"]["expected"] == sha256(MEMBERS["report.json"]).hexdigest()
    assert verdict["likely_cause"]["cause"] == "member_edited"
    said = verify(fresh, folder, law)
    assert (said.code, "FAIL" in said.out) == (5, True)
    assert "RO_ENGINE_GATE_FAILED" in said.err


def test_a_bundle_that_git_normalised_fails_and_the_cause_is_named(
    fresh: Deployment, tmp_path: Path
) -> None:
    """A clone under ``* text=auto`` has LF for CRLF: FAIL. Under ``* -text`` it is as sealed."""
    for attributes, code in (("* text=auto", 5), ("* -text", 0)):
        origin = tmp_path / f"origin{code}"
        seal(origin / "bundle", ALL_FILES)
        (origin / ".gitattributes").write_text(f"{attributes}\n")
        git(origin, "init", "--quiet")
        git(origin, "add", ".")
        git(origin, "commit", "--quiet", "--message", "sealed")
        git(tmp_path, "clone", "--quiet", str(origin), f"clone{code}")
        answer = verify(fresh, tmp_path / f"clone{code}" / "bundle", ALL_FILES, "--json")
        assert answer.code == code, answer.out
        cause = answer.json().get("likely_cause", {"cause": None})
        assert cause["cause"] == ("line_ends_changed" if code else None)
        if code:
            assert cause["explanation"].startswith("CRLF turned into LF in checks/rows.csv")


def test_what_cannot_be_judged_is_refused_with_exit_code_3(
    fresh: Deployment, tmp_path: Path
) -> None:
    """No flag, an unknown law, a link, a traversal, half an option: a refusal, and no verdict."""
    folder = seal(tmp_path / "bundle", ALL_FILES)
    assert verify(fresh, folder, "sha256_of_something").code == 3
    assert verify(fresh, folder, ALL_FILES, "--ordering", "index_order").code == 3
    assert verify(fresh, folder, LISTED_FILES, "--path-base", "run_root").code == 3
    assert verify(fresh, tmp_path / "gone", ALL_FILES).code == 3
    (folder / "link").symlink_to("report.json")
    linked = verify(fresh, folder, ALL_FILES, "--json")
    assert (linked.code, linked.json()["error"]["code"]) == (3, "RO_BUNDLE_REFUSED")
    (folder / "link").unlink()
    (folder / "index.json").write_text('[{"path": "../secret"}]')
    assert verify(fresh, folder, LISTED_FILES).code == 3
    (folder / "_passed.flag").unlink()
    refused = verify(fresh, folder, ALL_FILES)
    assert (refused.code, refused.out) == (3, "")
    assert "PASS" not in refused.err


def test_members_may_lie_in_the_run(fresh: Deployment, tmp_path: Path) -> None:
    """With a run's root and a flag kept elsewhere, every option is one of the command line."""
    run = seal(tmp_path / "run", LISTED_FILES)
    bundle = run / "validation"
    bundle.mkdir()
    (run / "index.json").rename(bundle / "index.json")
    (run / "_passed.flag").rename(tmp_path / "kept.flag")
    answer = verify(
        *(fresh, bundle, LISTED_FILES, "--path-base", "run_root", "--root", run),
        *("--ordering", "index_order", "--without-index", "--flag", tmp_path / "kept.flag"),
    )
    assert answer.code == 0, answer.err


def test_verifying_writes_nothing(fresh: Deployment, tmp_path: Path) -> None:
    """Neither the bundle nor the deployment's state is touched, whatever the verdict."""
    folder = seal(tmp_path / "bundle", ALL_FILES)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}
    assert verify(fresh, folder, ALL_FILES).code == 0
    assert verify(fresh, folder, MEMBER_DIGESTS).code == 5
    after = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}
    assert after == before
    assert not fresh.home.exists()


def test_a_locator_is_checked(fresh: Deployment, tmp_path: Path) -> None:
    """Form, path, template and bytes; what is wrong has its own exit code."""
    path = f"data/seed=7/fingerprint={WORLD}/part-0.parquet"
    template = "data/seed={seed}/fingerprint={manifest_fingerprint}/part-*.parquet\n"
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_bytes(b"rows")
    content = {"algo": "sha256", "hex": sha256(b"rows").hexdigest()}
    locator = {
        "output_id": "site_locations",
        "path": path,
        "manifest_fingerprint": WORLD,
        "seed": 7,
        "content_digest": content,
    }
    file = tmp_path / "locator.json"
    file.write_text(json.dumps(locator))
    more = ("--template", template, "--root", tmp_path)
    assert fresh.ro("locator", "check", file, *more).code == 0
    found = fresh.ro("locator", "check", json.dumps(locator), *more, "--json").json()
    assert found["content_verified"] is True
    assert found["partitions"] == {"seed": "7", "manifest_fingerprint": WORLD}
    for change, code in (
        ({"seed": 8}, 3),
        ({"surplus": 1}, 3),
        ({"path": path.replace("part-0", "part-9")}, 4),
        ({"content_digest": {**content, "hex": "0" * 64}}, 6),
    ):
        wrong = json.dumps({**locator, **change})
        assert fresh.ro("locator", "check", wrong, *more).code == code


def test_lineage_is_recomputed(fresh: Deployment, tmp_path: Path) -> None:
    """Both hashes are those of the definition, with the known UER prefix 1c000000."""
    name = "crossborder_hyperparams.yaml"
    (tmp_path / name).write_bytes(b"ntheta: 1\n")
    (tmp_path / "a.csv").write_bytes(b"a")
    (tmp_path / "b.csv").write_bytes(b"b")

    def t(prefix: str, name: str, data: bytes) -> bytes:
        return sha256(bytes.fromhex(prefix) + name.encode() + sha256(data).digest()).digest()

    parameters = sha256(t("1c000000", name, b"ntheta: 1\n"))
    preimage = t("05000000", "a.csv", b"a") + t("05000000", "b.csv", b"b")
    preimage += bytes(12) + bytes.fromhex(COMMIT) + parameters.digest()
    arguments = ["lineage", "recompute", "--parameters", tmp_path / name]
    arguments += ["--artefacts", tmp_path / "b.csv", tmp_path / "a.csv", "--git-commit", COMMIT]
    found = fresh.ro(*arguments, "--json").json()
    assert found["parameters"][0]["t"] == t("1c000000", name, b"ntheta: 1\n").hex()
    assert found["parameter_hash"] == parameters.hexdigest()
    assert found["manifest_fingerprint"] == sha256(preimage).hexdigest()
    said = fresh.ro(*arguments)
    assert (said.code, found["manifest_fingerprint"] in said.out) == (0, True)
    assert fresh.ro(*arguments[:4], "--git-commit", COMMIT).code == 3


def test_the_how_to_is_right_to_the_letter(fresh: Deployment, tmp_path: Path) -> None:
    """Its bundle, made by coreutils, and its commands give exactly the output that it shows."""
    text = HOW_TO.read_text()
    made = re.search(r"```sh\n(mkdir bundle.*?)```", text, re.DOTALL)
    assert made is not None
    assert fresh.run("bash", "-ec", made[1], cwd=tmp_path).code == 0
    shown = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    assert len(shown) == 2
    product = fresh.with_environment(PATH=f"{BIN}:/usr/local/bin:/usr/bin:/bin")
    for block in shown:
        commands = re.findall(r"^\$ (.*)$", block, re.MULTILINE)
        answer = product.run("bash", "-c", "exec 2>&1\n" + "\n".join(commands), cwd=tmp_path)
        assert answer.out == re.sub(r"^\$ .*\n", "", block, flags=re.MULTILINE)
