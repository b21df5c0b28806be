"""Evidence from outside: an engine's bundle counts here once it is verified, stored and on record.

From outside: ``ro`` and ``dagster`` as processes, the bundle sealed with ``hashlib``, and a real
deployment whose consumer reads an external asset.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.product import BIN, ROOT, Answer, Deployment

HERE = Path(__file__).parent
HOW_TO = ROOT / "docs/how-to/register-a-bundle.md"
BUNDLE = ROOT / "docs/how-to/verify-an-engine-bundle.md"
LAW = "sha256_bundle_digest"
GATE = f"engine_bundle.{LAW}"
COUNTS = b"check,rows\r\nsites,12\r\n"


@pytest.fixture
def product(tmp_path: Path) -> Deployment:
    """A deployment with a consumer of ``engine_bundle``, before anything was done with it."""
    root = tmp_path / "deployment"
    root.mkdir()
    shutil.copy(HERE / "external_deployment" / "definitions.py", root)
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, root)
    return Deployment(root, tmp_path / "home")


def seal(folder: Path, counts: bytes = COUNTS) -> Path:
    """A bundle as the engine would write it, under the law over every file."""
    (folder / "checks").mkdir(parents=True)
    (folder / "checks" / "rows.csv").write_bytes(counts)
    own = sha256(counts).hexdigest()
    index = json.dumps([{"path": "checks/rows.csv", "sha256_hex": own}]).encode()
    (folder / "index.json").write_bytes(index)
    sealed = sha256(counts + index).hexdigest()
    (folder / "_passed.flag").write_text(f"sha256_hex = {sealed}\n")
    return folder


class Case:
    """One manifest of the deployment, and what is done about it."""

    def __init__(self, product: Deployment, folder: Path, seed: int = 1) -> None:
        self.product = product
        self.file = folder / f"manifest-{seed}.json"
        manifest = {"kind": "ro.run_manifest.v0", "workload": "reporting", "seed": seed}
        self.file.write_text(json.dumps({**manifest, "code": {"version": "1"}}))
        self.fingerprint = product.ro("manifest", "fingerprint", self.file).out.strip()

    def manifest_registered(self) -> Case:
        answer = self.product.ro("manifest", "register", self.file)
        assert answer.code == 0, answer.err
        return self

    def register(self, bundle: Path, *more: object) -> Answer:
        named = ("--asset", "engine_bundle", "--manifest", self.fingerprint)
        return self.product.ro("gate", "register", bundle, "--law", LAW, *named, *more)

    def consume(self) -> Answer:
        """Compute the consumer; an attempt for which the bytes are refused leaves nothing."""
        return self.product.ro("run", self.file, "--json")

    def refusal(self) -> str:
        """The code with which the consumer is refused; nothing of it may be stored."""
        answer = self.consume()
        assert answer.code != 0
        assert not list(self.product.store.glob(f"refs/report/fingerprint={self.fingerprint}/*"))
        return str(answer.json()["error"]["code"])

    def readable(self) -> str | None:
        """None if the bundle itself may be read, or the code with which it is refused."""
        target = self.product.home / "copy"
        named = f"engine_bundle@{self.fingerprint}"
        answer = self.product.ro("artifact", "get", named, target, "--json")
        assert target.exists() == (answer.code == 0)
        return None if answer.code == 0 else str(answer.json()["error"]["code"])

    def delivered(self) -> Any:
        """What the consumer made of the bundle."""
        assert self.consume().code == 0
        target = self.product.home / f"report-{self.fingerprint}"
        answer = self.product.ro("artifact", "get", f"report@{self.fingerprint}", target)
        assert answer.code == 0, answer.err
        return json.loads(target.read_bytes())


def is_whole(product: Deployment) -> None:
    """Ledger and store verify, and agree with each other."""
    for command in (("ledger", "verify"), ("artifact", "verify", "--all", "--full")):
        answer = product.ro(*command)
        assert answer.code == 0, answer.err


def test_a_registered_bundle_is_delivered_and_an_unregistered_one_is_not(
    product: Deployment, tmp_path: Path
) -> None:
    """Refused, registered, delivered; the folder may go away; another run of it changes nothing."""
    case, bundle = Case(product, tmp_path).manifest_registered(), seal(tmp_path / "bundle")
    assert case.refusal() == "RO_ARTIFACT_NOT_FOUND"

    registered = case.register(bundle, "--reason", "delivered on Monday", "--json")

    assert registered.code == 0, registered.err
    facts = registered.json()
    assert (facts["registered"], facts["readable"]) == (True, True)
    assert facts["verdict"]["status"] == facts["receipts"][0]["status"] == "PASS"
    before = product.evidence()
    again = case.register(bundle, "--json")
    assert (again.code, again.json()["registered"]) == (0, False)
    assert product.evidence() == before
    assert product.ro("gate", "verify", bundle, "--law", LAW).code == 0
    shutil.rmtree(bundle)
    assert case.delivered() == {"sites": "12"}
    is_whole(product)
    listed = product.ro("gate", "list", "--json").json()
    assert [rule["gate_id"] for rule in listed["engine_bundle"]] == [GATE]


def test_the_verdict_goes_out_in_the_engines_form_while_it_stands(
    product: Deployment, tmp_path: Path
) -> None:
    """A gate_receipt about the manifest and the exact bytes; a gate nobody has is not found."""
    case = Case(product, tmp_path).manifest_registered()
    facts = case.register(seal(tmp_path / "bundle"), "--json").json()
    target = f"engine_bundle@{case.fingerprint}"
    receipt = product.ro("gate", "export", target, "--gate", GATE).json()
    assert (receipt["gate_id"], receipt["status"]) == (GATE, "PASS")
    assert receipt["scope"] == {"manifest_fingerprint": case.fingerprint}
    assert receipt["digest"] == {"algo": "sha256", "hex": facts["artifact"]["digest"]}
    assert product.ro("gate", "export", target, "--gate", "engine_bundle.none").code == 4
    (found,) = product.store.glob(f"receipts/engine_bundle/**/{GATE}/*.json")
    found.chmod(0o644)
    found.write_bytes(found.read_bytes().replace(b"PASS", b"FAIL"))
    altered = product.ro("gate", "export", target, "--gate", GATE, "--json")
    assert (altered.code, altered.json()["error"]["code"]) == (5, "RO_RECEIPT_UNVERIFIABLE")


def test_what_does_not_verify_leaves_nothing(product: Deployment, tmp_path: Path) -> None:
    """FAIL exits with 5 and says why, no verdict with 3, no manifest with 4, other bytes with 7."""
    bundle, case = seal(tmp_path / "bundle"), Case(product, tmp_path)
    assert case.register(bundle).code == 4
    case.manifest_registered()
    before = product.evidence()
    rows = bundle / "checks" / "rows.csv"
    rows.write_bytes(COUNTS.replace(b"12", b"21"))
    failed = case.register(bundle, "--json")
    assert failed.code == 5
    assert failed.json()["verdict"]["first_difference"]["path"] == "checks/rows.csv"
    said = case.register(bundle)
    assert (said.code, "FAIL" in said.out, "RO_ENGINE_GATE_FAILED" in said.err) == (5, True, True)
    rows.write_bytes(COUNTS)
    assert case.register(bundle, "--path-base", "run_root").code == 3
    (bundle / "link").symlink_to("index.json")
    assert case.register(bundle, "--json").json()["error"]["code"] == "RO_BUNDLE_REFUSED"
    assert product.evidence() == before
    assert case.readable() == "RO_ARTIFACT_NOT_FOUND"

    (bundle / "link").unlink()
    assert case.register(bundle).code == 0
    other = seal(tmp_path / "other", COUNTS.replace(b"12", b"13"))
    conflict = case.register(other, "--json")
    assert (conflict.code, conflict.json()["error"]["code"]) == (7, "RO_ADDRESS_CONFLICT")
    revised = case.register(other, "--new-revision", "--json")
    assert revised.json()["artifact"]["ref"].endswith("rev=000002.json")
    assert case.delivered() == {"sites": "13"}
    is_whole(product)


def test_a_revoked_pass_refuses_and_registering_again_does_not_help(
    product: Deployment, tmp_path: Path
) -> None:
    """Delivered before, refused after, in the CLI's own words."""
    case, bundle = Case(product, tmp_path).manifest_registered(), seal(tmp_path / "bundle")
    assert case.register(bundle).code == 0
    target = f"engine_bundle@{case.fingerprint}"
    revoked = product.ro("gate", "revoke", GATE, target, "--reason", "withdrawn by its maker")
    assert revoked.code == 0, revoked.err
    assert case.readable() == case.refusal() == "RO_GATE_REVOKED"
    again = case.register(bundle, "--json")
    assert (again.code, again.json()["error"]["code"]) == (5, "RO_GATE_REVOKED")
    assert product.ro("gate", "export", target, "--gate", GATE).code == 5
    is_whole(product)


@pytest.mark.parametrize(("sites", "code"), [(12, None), (9, "RO_GATE_FAILED")])
def test_a_guest_gate_of_the_consumers_location_is_asked_besides(
    product: Deployment, tmp_path: Path, sites: int, code: str | None
) -> None:
    """The engine's PASS alone is no longer enough; a FAIL of the guest refuses, a PASS delivers."""
    guarded = product.with_environment(GUEST_GATE="1")
    case = Case(guarded, tmp_path).manifest_registered()
    bundle = seal(tmp_path / "bundle", COUNTS.replace(b"12", str(sites).encode()))
    assert case.register(bundle).code == 0
    assert case.refusal() == "RO_GATE_ABSENT"
    partition = json.dumps({"dagster/partition": case.fingerprint})
    job = ("job", "execute", "-f", "definitions.py", "-j", "judging", "--tags", partition)
    judged = guarded.dagster(*job)
    assert (judged.code == 0) == (code is None), judged.err
    if code is None:
        assert case.delivered() == {"sites": "12"}
    else:
        assert case.refusal() == code
        shown = case.register(bundle, "--json").json()
        assert (shown["registered"], shown["readable"]) == (False, False)
        assert shown["refusal"]["code"] == code
    is_whole(product)


DIES = """
import os, signal, sys
from importlib import import_module

module, kind, name = sys.argv.pop(1).rsplit(".", 2)
setattr(getattr(import_module(module), kind), name, lambda *_, **__: os.kill(os.getpid(), 9))
import_module("ro_platform.cli.main").main()
"""


@pytest.mark.parametrize(
    ("instant", "code"),
    [
        ("ro_platform.gates.receipts.Receipts.record", "RO_GATE_ABSENT"),
        ("ro_platform.runs.history.AttemptHistory.move", None),
    ],
)
def test_a_kill_lets_nothing_out_before_its_receipt(
    product: Deployment, tmp_path: Path, instant: str, code: str | None
) -> None:
    """SIGKILL where the artifact is bound and unjudged, and where only the attempt's end lacks:
    asking again completes it. Every other instant is a unit test's."""
    case, bundle = Case(product, tmp_path).manifest_registered(), seal(tmp_path / "bundle")
    named = ("--asset", "engine_bundle", "--manifest", case.fingerprint)
    command = ("gate", "register", bundle, "--law", LAW, *named)
    killed = product.run(sys.executable, "-c", DIES, instant, *command)
    assert killed.code == -9, killed.err
    assert case.readable() == code

    assert case.register(bundle).code == 0

    assert code is None or case.readable() is None
    moves = [
        entry["body"]
        for entry in product.entries()
        if entry["kind"] == "attempt_transition" and entry["body"]["step_key"] == "external"
    ]
    ended = {move["attempt_id"]: move["status"] for move in moves}
    assert sorted(ended.values()) == (["LOST", "SUCCEEDED"] if code else ["SUCCEEDED"])
    is_whole(product)


def test_the_how_to_is_right_to_the_letter(product: Deployment) -> None:
    """Its deployment, its manifest, its commands and what they print; its Python runs as it is."""
    text = HOW_TO.read_text()
    made = re.search(r"```sh\n(mkdir bundle.*?)```", BUNDLE.read_text(), re.DOTALL)
    assert made is not None
    definitions, other = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (product.root / "definitions.py").write_text(definitions)
    (product.root / "other.py").write_text(other)
    product = product.with_environment(PATH=f"{BIN}:/usr/local/bin:/usr/bin:/bin")
    for block in (made[1], *re.findall(r"```sh\n(.*?)```", text, re.DOTALL)):
        assert product.run("bash", "-ec", block).code == 0
    shown = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    assert len(shown) == 2
    for block in shown:
        commands = re.findall(r"^\$ (.*)$", block, re.MULTILINE)
        answer = product.run("bash", "-c", "exec 2>&1\n" + "\n".join(commands))
        assert answer.out == re.sub(r"^\$ .*\n", "", block, flags=re.MULTILINE)
    assert product.ro("run", "reporting.yaml").code == 0
    brought = product.run(BIN / "python", "other.py")
    assert re.fullmatch(r"refs/survey/fingerprint=\w+/rev=000001.json None\n", brought.out)
