"""Every key that Dagster takes works, or is refused by name when it is loaded."""

from typing import Any

import dagster as dg
import pytest

from ro_platform.errors import SettingsError
from ro_platform.orchestration import MANIFESTS, gate, govern
from ro_platform.orchestration.names import gate_id
from ro_platform.testing import EphemeralPlane

LONGEST = ["a" * 255, "b" * 255, "c"]
"""513 characters with the slashes between: one too many."""


def asset(
    *path: str, io_manager: str | None = None, deps: Any = (), partitions_def: Any = None
) -> dg.AssetsDefinition:
    """An asset under any key that Dagster takes."""
    out = dg.AssetOut(
        key=dg.AssetKey(path),
        dagster_type=int,
        io_manager_key=io_manager,
    )

    @dg.multi_asset(name="op", outs={"x": out}, deps=deps, partitions_def=partitions_def)
    def made() -> int:
        return 1

    return made


def load(*assets: Any, **more: Any) -> dg.Definitions:
    """The definitions as a code location loads them."""
    bound = govern(dg.Definitions(assets=list(assets), **more))
    dg.Definitions.validate_loadable(bound)
    return bound


REFUSED = [
    (["public.orders"], r"AssetKey\(\['public\.orders'\]\).*letters.*digits.*'_' and '-'"),
    (["raw orders"], r"AssetKey\(\['raw orders'\]\)"),
    (["bestellüng"], "letters"),
    (["a/b"], r"AssetKey\(\['a/b'\]\)"),
    ([".."], "letters"),
    ([""], "letters"),
    (["line\nbreak"], "letters"),
    (["a" * 256], "255"),
    (LONGEST, "512"),
]


@pytest.mark.parametrize(("path", "words"), REFUSED, ids=range(len(REFUSED)))
def test_a_key_that_the_plane_cannot_keep_does_not_load(path: list[str], words: str) -> None:
    """RO_SETTINGS names the asset and says which characters, or how many, a key may have."""
    with pytest.raises(SettingsError, match=words) as refused:
        load(asset(*path))
    assert "io_manager_key" in refused.value.next_step


@pytest.mark.parametrize("path", [["a", "b"], ["-x-", "_"], ["A" * 255], ["a" * 255, "b" * 255]])
def test_a_key_that_loads_is_kept_and_read(governed: EphemeralPlane, path: list[str]) -> None:
    """The longest and the oddest key is bound, and its artifact is found under it."""
    bound = load(asset(*path), jobs=[dg.define_asset_job("j", selection="*")])
    fingerprint = governed.register()

    job = bound.resolve_job_def("j")
    assert job.execute_in_process(instance=governed.instance, partition_key=fingerprint).success
    assert governed.plane.store.binding("/".join(path), fingerprint) is not None


@pytest.mark.parametrize("path", [["public.orders"], ["a" * 256]])
def test_what_another_io_manager_keeps_may_be_called_as_it_likes(path: list[str]) -> None:
    """It is not the plane's, also as what a governed asset depends on or loads."""
    elsewhere = asset(*path, io_manager="elsewhere")

    @dg.asset(deps=[dg.AssetKey(path)])
    def after() -> int:
        return 1

    @dg.asset(ins={"before": dg.AssetIn(dg.AssetKey(path))})
    def reader(before: int) -> int:
        return 1

    load(elsewhere, after, reader, resources={"elsewhere": dg.mem_io_manager})


def test_a_parent_that_the_plane_would_have_to_read_under_no_name_is_refused() -> None:
    """An asset made elsewhere, loaded through the plane, under a key that it cannot keep."""

    @dg.asset(ins={"before": dg.AssetIn(dg.AssetKey(["public.orders"]))})
    def reader(before: int) -> int:
        return 1

    with pytest.raises(SettingsError, match=r"'reader'.*AssetKey\(\['public\.orders'\]\)"):
        load(reader)


def test_an_edge_that_would_ask_about_another_asset_is_refused() -> None:
    """AssetKey(["a/b"]) and AssetKey(["a", "b"]) are one name for the guard."""

    edge = dg.AssetIn(dg.AssetKey(["a/b"]), dagster_type=dg.Nothing)

    @dg.asset(ins={"before": edge})
    def after() -> int:
        return 1

    with pytest.raises(SettingsError, match=r"'after'.*AssetKey\(\['a/b'\]\)"):
        load(after)


def test_two_keys_do_not_share_a_name() -> None:
    """Also if another IO manager keeps one of them: their attempts would be one unit's."""
    other = asset("a/b", io_manager="elsewhere", partitions_def=MANIFESTS)

    @dg.asset(key=dg.AssetKey(["a", "b"]))
    def kept() -> int:
        return 1

    with pytest.raises(SettingsError, match=r"\['a', 'b'\].*\['a/b'\]|\['a/b'\].*\['a', 'b'\]"):
        load(other, kept, resources={"elsewhere": dg.mem_io_manager})


@pytest.mark.parametrize(
    ("key", "name", "words"),
    [
        (["a"], "b.c", "'b.c'"),
        (["a"], "x" * 127, "129 characters"),
        (["public.orders"], "ok", "public"),
    ],
)
def test_a_gate_that_no_receipt_could_name_does_not_load(
    key: list[str], name: str, words: str
) -> None:
    """RO_SETTINGS as it is declared. A dot would let two gates of two assets share an id."""
    with pytest.raises(SettingsError, match=words):

        @gate(asset=dg.AssetKey(key), name=name, code_version="1")
        def judge() -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=True)


def test_gates_of_two_assets_have_two_ids() -> None:
    """Without dots in names the last part of an id is the check's, and the others are the key."""
    made = {gate_id(dg.AssetKey(key), name) for key, name in ((["a"], "b"), (["a", "b"], "c"))}
    assert made == {"a.b", "a.b.c"}


@pytest.mark.parametrize("said", [{"configs": ("no name",)}, {"code_version": "v 1"}])
def test_a_rule_whose_config_or_version_is_no_name_does_not_load(said: dict[str, Any]) -> None:
    """RO_SETTINGS names the gate and what it said."""
    with pytest.raises(SettingsError, match=r"'judge'.*no name|'judge'.*v 1"):

        @gate(asset="made", **{"code_version": "1", **said})
        def judge() -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=True)


@pytest.mark.parametrize("prefix", ["rule1-", "code1-"])
def test_a_version_by_hand_does_not_name_a_listing(prefix: str) -> None:
    """It would be taken for the digest of one that nobody ever made."""
    with pytest.raises(SettingsError, match="names a listing"):

        @gate(asset="made", code_version=prefix + "0" * 64)
        def judge() -> dg.AssetCheckResult:
            return dg.AssetCheckResult(passed=True)


def test_a_schema_version_that_is_no_name_does_not_load() -> None:
    """It is written into every reference."""

    @dg.asset(metadata={"ro/schema_version": "orders v1"})
    def made() -> int:
        return 1

    with pytest.raises(SettingsError, match=r"'made'.*ro/schema_version"):
        load(made)


def test_only_a_workload_has_to_be_short_enough_for_a_manifest() -> None:
    """A job that is partitioned by manifests is refused beyond 128 characters, any other is not."""

    @dg.op
    def nothing() -> None:
        return None

    @dg.job(name="j" * 200)
    def plain() -> None:
        nothing()

    made = asset("made")
    load(made, jobs=[plain, dg.define_asset_job("w" * 128, selection="*")])
    with pytest.raises(SettingsError, match="128 characters"):
        load(made, jobs=[dg.define_asset_job("w" * 129, selection="*")])


def test_an_ordinary_check_may_be_called_as_dagster_lets_it(governed: EphemeralPlane) -> None:
    """It leaves no receipt; its attempt is on record under its name."""

    @dg.asset
    def made() -> int:
        return 1

    name = "x" * 200

    @dg.asset_check(asset=made, name=name, partitions_def=MANIFESTS)
    def look() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    job = dg.define_asset_job("j", selection="*")
    bound = load(made, asset_checks=[look], jobs=[job])
    fingerprint = governed.register()
    result = bound.resolve_job_def("j").execute_in_process(
        instance=governed.instance, partition_key=fingerprint
    )
    assert result.success
    units = {item.unit for item in governed.plane.attempts.of_run(fingerprint)}
    assert units == {"made", f"made#{name}"}
