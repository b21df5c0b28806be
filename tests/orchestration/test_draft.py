"""A draft: apart from everything governed, and reading it only as any consumer may."""

import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ro_platform.config.drafts import drafts_of, find_draft, in_use, remove_draft
from ro_platform.config.settings import Settings
from ro_platform.contracts import (
    AccessPolicy,
    AdminActionType,
    AdminRequest,
    Role,
    RoleBinding,
    Scope,
)
from ro_platform.dossier import export as exporting
from ro_platform.dossier.verify import verify_dossier
from ro_platform.errors import (
    AccessDeniedError,
    ArtifactNotFoundError,
    ConflictError,
    DossierRefusedError,
    DraftError,
    DraftForbiddenError,
    GateAbsentError,
    GateFailedError,
    GateRefusedError,
    GateRevokedError,
    GateSetShrankError,
    GateStaleError,
    NotFoundError,
    RunOperateError,
)
from ro_platform.kernel.signing import SigningKey
from ro_platform.ledger.drafted import draft_of
from ro_platform.orchestration import gate, govern
from ro_platform.orchestration.draft import DraftRun, drafting, prepare_draft, results
from ro_platform.orchestration.execution import RunOutcome
from ro_platform.orchestration.resource import PlaneResource
from ro_platform.plane import Plane, shared_plane
from ro_platform.runs.manifest import ManifestFile
from ro_platform.testing import EphemeralPlane
from tests.acting import revoke_pass
from tests.orchestration.conftest import QUIET

ORDERS = b"ann,1200\nbob,300\nann,800\n"
SECOND = Path(__file__).parents[2] / "docs/reference/conformance/verify_dossier.py"


def shop(
    *,
    code: str = "1",
    factor: int = 1,
    rule: str = "1",
    most: int = 10**6,
    gates: Sequence[str] = ("enough",),
    report_code: str = "1",
    selection: Any = "*",
) -> dg.Definitions:
    """orders -> totals -> report; ``totals`` has gates, code and what it gives can be edited."""

    @dg.asset(code_version="1")
    def orders(context: dg.AssetExecutionContext, plane: PlaneResource) -> dict[str, int]:
        lines = plane.run(context).input_bytes("orders").decode().split()
        return {f"{n}": int(line.split(",")[1]) for n, line in enumerate(lines)}

    @dg.asset(code_version=code)
    def totals(orders: dict[str, int]) -> dict[str, int]:
        return {"cents": factor * sum(orders.values())}

    @dg.asset(code_version=report_code)
    def report(totals: dict[str, int]) -> dict[str, int]:
        return {"euros": totals["cents"] // 100}

    def judge(name: str) -> dg.AssetChecksDefinition:
        @gate(asset=totals, name=name, code_version=rule)
        def check(totals: dict[str, int]) -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=totals["cents"] <= most)

        return check

    return govern(
        dg.Definitions(
            assets=[orders, totals, report],
            asset_checks=[judge(name) for name in gates],
            jobs=[dg.define_asset_job("shop", selection)],
        )
    )


class Shop:
    """A governed shop, and drafts on it."""

    def __init__(self, governed: EphemeralPlane) -> None:
        self.plane, self.settings, self.instance = (
            governed.plane,
            governed.settings,
            governed.instance,
        )
        self.fingerprint = governed.register("shop", inputs={"orders": ORDERS})
        folder = governed.settings.home / "inputs"
        manifest = self.plane.runs.manifest(self.fingerprint)
        self.file = ManifestFile(manifest, self.fingerprint, folder)

    def run(self, definitions: dg.Definitions) -> dg.ExecuteInProcessResult:
        """Governed, as any of Dagster's ways runs it."""
        return definitions.resolve_job_def("shop").execute_in_process(
            instance=self.instance,
            partition_key=self.fingerprint,
            raise_on_error=False,
            run_config=QUIET,
        )

    def draft(
        self, definitions: dg.Definitions, name: str = "mine", settings: Settings | None = None
    ) -> tuple[DraftRun, RunOutcome]:
        """Run the manifest in a draft."""
        with drafting(settings or self.settings, name, self.file) as (draft, instance):
            run = prepare_draft(draft, instance, self.file, definitions)
            return run, run.execute()

    def results(self, definitions: dg.Definitions, name: str = "mine") -> dict[str, str]:
        """What a draft did about each asset, without a failure."""
        run, outcome = self.draft(definitions, name)
        assert outcome.error is None
        return results(run, outcome)

    def refusal(self, definitions: dg.Definitions) -> RunOperateError | None:
        """How a draft failed."""
        return self.draft(definitions)[1].error

    def drafted(self, name: str = "mine") -> Plane:
        """The plane of a draft."""
        return shared_plane(find_draft(self.settings, name))

    def everything(self) -> dict[str, str]:
        """Digests of all that is governed: the ledger's rows, the store, Dagster's events."""
        home, drafts = self.settings.home, self.settings.home / "drafts"
        found = {
            str(path.relative_to(home)): sha256(path.read_bytes()).hexdigest()
            for path in home.rglob("*")
            if path.is_file() and drafts not in path.parents and ".sqlite" not in path.name
            if path.suffix != ".db" and not path.name.endswith(("-wal", "-shm"))
        }
        for database in (home / "ledger.sqlite", *home.glob("dagster/**/*.db")):
            with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
                dump = "\n".join(connection.iterdump())
            found[database.name] = sha256(dump.encode()).hexdigest()
        return found


@pytest.fixture
def world(governed: EphemeralPlane) -> Shop:
    """Before its first run."""
    return Shop(governed)


def test_a_draft_writes_below_its_folder_and_nowhere_else(world: Shop) -> None:
    """The first, which computes everything, and one on what is governed: ledger, store, Dagster's
    records and partitions stay as they were."""
    before = world.everything()
    assert world.results(shop()) == dict.fromkeys(("orders", "totals", "report"), "computed")
    assert world.everything() == before
    assert world.run(shop()).success
    before = world.everything()
    edited = shop(code="2", factor=2)
    assert world.results(edited, "other") == {
        "orders": "governed",
        "totals": "computed",
        "report": "computed",
    }
    assert world.everything() == before
    assert drafts_of(world.settings) == ["mine", "other"]
    for kept in ("grant", "key"):
        assert list((world.settings.home / "drafts").rglob(f"*.{kept}")) == []


def test_a_draft_computes_what_changed_since_its_last_run(world: Shop) -> None:
    """Other code is computed again, with what is made from it; back again too; other bytes of an
    asset are its next revision. What is as it was is kept, or read where it is governed."""
    assert world.run(shop()).success
    assert set(world.results(shop()).values()) == {"governed"}
    edited = shop(code="2", factor=2)
    assert world.results(edited)["totals"] == "computed"
    assert world.results(edited) == {"orders": "governed", "totals": "kept", "report": "kept"}
    again = world.results(shop(code="3", factor=3))
    assert again == {"orders": "governed", "totals": "computed", "report": "computed"}
    assert world.results(shop())["totals"] == "computed"
    store = world.drafted().store
    values = [store.binding("totals", world.fingerprint, n) for n in (1, 2, 3)]
    assert [store.read(ref) for ref in values if ref] == [
        b'{"cents":4600}',
        b'{"cents":6900}',
        b'{"cents":2300}',
    ]


def test_a_drafts_gates_judge_and_refuse_and_may_change_and_go(world: Shop) -> None:
    """FAIL stops what comes after it; another rule judges again; a gate may go."""
    assert isinstance(world.refusal(shop(most=1)), GateFailedError)
    assert world.drafted().store.binding("report", world.fingerprint) is None
    assert world.results(shop(rule="2"))["report"] == "computed"
    assert world.results(shop(rule="2", gates=("enough", "other")))["report"] == "kept"
    assert world.results(shop(rule="2", gates=("renamed",)))["report"] == "kept"
    assert world.results(shop(rule="2", gates=()))["report"] == "kept"


REPORT = dg.AssetSelection.assets("report")


def test_what_does_not_stand_where_it_is_governed_is_refused_to_a_draft(world: Shop) -> None:
    """With the code that any consumer meets: not made, not judged, FAIL, revoked."""
    alone = shop(selection=REPORT)
    assert isinstance(world.refusal(alone), ArtifactNotFoundError)
    world.run(shop(selection=dg.AssetSelection.assets("orders", "totals").without_checks()))
    assert isinstance(world.refusal(alone), GateAbsentError)
    assert world.run(shop()).success
    alone = shop(selection=REPORT, report_code="2")
    assert world.results(alone) == {"report": "computed"}
    ref = world.plane.guard.require("totals", world.file.manifest, world.fingerprint)
    revoke_pass(world.plane, "totals.enough", ref, reason="r")
    assert isinstance(world.draft(alone, "later")[1].error, GateRevokedError)
    assert world.drafted("later").store.binding("report", world.fingerprint) is None


def test_what_was_revoked_where_a_draft_read_it_is_not_kept_in_the_draft(world: Shop) -> None:
    """What the draft made from it is computed again, which is refused."""
    alone = shop(selection=REPORT)
    assert world.run(shop()).success
    assert world.results(alone, "first") == {"report": "governed"}
    edited = shop(selection=REPORT, report_code="2")
    assert world.results(edited) == {"report": "computed"}
    assert world.results(edited) == {"report": "kept"}
    ref = world.plane.guard.require("totals", world.file.manifest, world.fingerprint)
    revoke_pass(world.plane, "totals.enough", ref, reason="r")
    assert isinstance(world.refusal(edited), GateRevokedError)


def test_the_gates_of_now_must_be_those_that_judged_what_a_draft_reads(world: Shop) -> None:
    """Of what it does not compute itself: one that is new, another or gone is refused, as the
    governed plane would refuse it, and not recorded there."""
    assert world.run(shop()).success
    before = world.everything()
    only: dict[str, Any] = {"selection": REPORT, "report_code": "2"}
    for edited, kind in (
        (shop(**only, gates=("enough", "new")), GateAbsentError),
        (shop(**only, rule="2"), GateStaleError),
        (shop(**only, gates=()), GateSetShrankError),
    ):
        assert isinstance(world.refusal(edited), kind)
    assert world.everything() == before


def test_a_draft_pass_counts_for_no_governed_read(world: Shop) -> None:
    """Not for the same bytes, and not when all that the draft stored lies in the governed store."""
    world.run(shop(selection=dg.AssetSelection.assets("orders", "totals").without_checks()))
    assert world.results(shop())["totals"] == "computed"
    drafted = world.drafted()
    passed = drafted.guard.require("totals", world.file.manifest, world.fingerprint)
    bound = world.plane.store.binding("totals", world.fingerprint)
    assert bound is not None
    assert passed.digest == bound.digest

    def consumer_is_refused() -> None:
        with pytest.raises(GateAbsentError):
            world.plane.guard.require("totals", world.file.manifest, world.fingerprint)
        assert not world.run(shop(selection=REPORT)).success

    consumer_is_refused()
    for stored in (find_draft(world.settings, "mine").home / "store").rglob("*"):
        copy = (
            world.settings.home
            / "store"
            / stored.relative_to(find_draft(world.settings, "mine").home / "store")
        )
        if stored.is_file() and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(stored.read_bytes())
    consumer_is_refused()
    with pytest.raises(GateRefusedError):
        world.plane.guard.require("report", world.file.manifest, world.fingerprint)


@pytest.mark.parametrize("setting", ["RO_STORE_URL", "RO_LEDGER_URL", "RO_HOME"])
def test_a_drafts_store_and_ledger_are_opened_as_governed_by_nobody(
    world: Shop, setting: str
) -> None:
    """By whatever setting, nor through a link; its ledger not even where it was copied to."""
    world.results(shop())
    draft = find_draft(world.settings, "mine")
    home = world.settings.home
    (home / "link").symlink_to(draft.home)
    for folder in (draft.home, home / "link"):
        values = {
            "RO_STORE_URL": (folder / "store").as_uri(),
            "RO_LEDGER_URL": f"sqlite://{folder / 'ledger.sqlite'}",
            "RO_HOME": str(folder),
        }
        found = {"RO_ROOT": str(home), "RO_HOME": str(home), setting: values[setting]}
        with pytest.raises(DraftError, match="counts for nothing governed"):
            Plane.open(Settings.load(found))
    copy = home / "copied"
    copy.mkdir()
    for file in draft.home.glob("ledger.sqlite*"):
        shutil.copy(file, copy)
    with pytest.raises(DraftError, match="ledger is that of the draft 'mine'"):
        Plane.open(Settings.load({"RO_ROOT": str(copy), "RO_HOME": str(copy)}))


def test_each_entry_of_a_drafts_ledger_says_that_it_is_a_drafts(world: Shop) -> None:
    """And no entry of a governed one."""
    assert world.run(shop()).success
    world.results(shop(code="2"))
    assert {draft_of(entry) for entry in world.drafted().ledger.scan()} == {"mine"}
    assert {draft_of(entry) for entry in world.plane.ledger.scan()} == {None}


def test_no_dossier_is_made_of_a_draft_and_none_of_a_draft_verifies(
    world: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by who takes the refusal out of the program, nor then by who takes out the check of what
    was written: whoever gets the file refuses it, by the second verifier as well."""
    world.results(shop())
    key = SigningKey.generate("draft/mine")
    dossiers = world.drafted().dossiers(key)
    target = tmp_path / "a.dossier"
    with pytest.raises(DraftError):
        dossiers.export(world.fingerprint, target, actor="HUMAN::x")
    monkeypatch.setattr(exporting, "require_governed", lambda _: None)
    with pytest.raises(DossierRefusedError, match="is of the draft 'mine'"):
        dossiers.export(world.fingerprint, target, actor="HUMAN::x")
    monkeypatch.setattr(exporting, "verify_dossier", lambda *_: None)
    dossiers.export(world.fingerprint, target, actor="HUMAN::x")
    with pytest.raises(DossierRefusedError, match="is of the draft 'mine'"):
        verify_dossier(target, key.verifier)


def test_nothing_of_a_draft_is_promoted(world: Shop) -> None:
    """Though every gate passed it there."""
    world.results(shop())
    plane = world.drafted()
    ref = plane.guard.require("totals", world.file.manifest, world.fingerprint)
    request = AdminRequest(
        action_type=AdminActionType.PROMOTE,
        reason="r",
        parameters={"name": "totals", "channel": "live", "ref": ref.ref},
    )
    action = plane.administration.service.action(AdminActionType.PROMOTE)
    with pytest.raises(DraftError):
        action.before(request, plane.ledger)


@pytest.mark.parametrize("environment", ["prod", "production", "eu-production", "PROD_2"])
def test_production_allows_no_draft(world: Shop, environment: str) -> None:
    """Nor does an environment that forbids it; nothing is left of the attempt."""
    home = str(world.settings.home)
    found = {"RO_ROOT": home, "RO_HOME": home, "RO_ENVIRONMENT": environment}
    for variables in (found, {**found, "RO_ENVIRONMENT": "test", "RO_DRAFTS": "forbid"}):
        with pytest.raises(DraftForbiddenError, match="allows no drafts"):
            world.draft(shop(), settings=Settings.load(variables))
    assert not (world.settings.home / "drafts").exists()


def settings_of(world: Shop, actor: str) -> Settings:
    """The deployment's settings, in a process of that actor."""
    issued = world.plane.tokens.issue(
        actor, lifetime=timedelta(days=1), reason="a test", actor=world.settings.actor
    )
    return replace(world.settings, token=issued.text)


def test_who_may_not_launch_and_read_may_not_draft(world: Shop) -> None:
    """A role within the workload is enough, one elsewhere is not; a draft is its maker's, and
    acts by their right as it stands when it reads."""
    assert world.run(shop()).success
    boss = world.settings.actor
    bindings = [
        RoleBinding(actor=boss, role=Role.ADMIN),
        RoleBinding(actor="HUMAN::second", role=Role.APPROVER),
        RoleBinding(actor="HUMAN::dev", role=Role.OPERATOR, scope=Scope(workload="shop")),
        RoleBinding(actor="HUMAN::other", role=Role.OPERATOR, scope=Scope(workload="other")),
        RoleBinding(actor="HUMAN::reader", role=Role.READER),
    ]
    people = {name: settings_of(world, name) for name in (boss, *_names(bindings))}
    content = AccessPolicy(kind="ro.access_policy.v0", bindings=tuple(bindings))
    world.plane.policies.publish_first(content, reason="a test", actor=boss)
    for name in ("HUMAN::other", "HUMAN::reader"):
        with pytest.raises(AccessDeniedError):
            world.draft(shop(), settings=people[name])
    with pytest.raises(AccessDeniedError):
        world.draft(shop())  # without a token, nobody
    assert not (world.settings.home / "drafts").exists()

    alone = shop(selection=REPORT, report_code="2")
    assert world.draft(alone, settings=people["HUMAN::dev"])[1].error is None
    with drafting(people["HUMAN::dev"], "late", world.file) as (draft, instance):
        assert draft.actor == "HUMAN::dev"
        run = prepare_draft(draft, instance, world.file, alone)
        token = shared_plane(people["HUMAN::dev"]).identity.authenticated()
        assert token is not None
        world.plane.tokens.revoke(token.token_id, reason="left", actor=boss)
        assert isinstance(run.execute().error, AccessDeniedError)


def _names(bindings: Sequence[RoleBinding]) -> list[str]:
    return [item.actor for item in bindings if item.actor.startswith("HUMAN::")][1:]


def test_removing_takes_all_of_a_draft_and_waits_for_its_run(world: Shop) -> None:
    """What is in use is not removed; what a removal left when it was killed goes with the next."""
    world.results(shop())
    world.results(shop(), "other")
    draft = find_draft(world.settings, "mine")
    before = world.everything()
    with in_use(draft), pytest.raises(ConflictError, match="in use"):
        remove_draft(world.settings, "mine")
    (world.settings.home / "drafts" / ".removed-killed-1" / "store").mkdir(parents=True)
    remove_draft(world.settings, "mine")
    assert [path.name for path in (world.settings.home / "drafts").iterdir()] == ["other"]
    with pytest.raises(NotFoundError):
        find_draft(world.settings, "mine")
    assert world.everything() == before
