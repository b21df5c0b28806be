"""The names that a code location brings, met by the plane's contracts where they are declared.

An asset is known to the plane by its key's parts, joined by slashes; a gate by those parts and the
check's name, joined by dots. So no part may hold either sign, or two of them could share a name.
What is refused here would otherwise end the first run that writes it.
"""

import re
from collections.abc import Collection, Iterable
from typing import Any, NoReturn

import dagster as dg

from ro_platform import errors
from ro_platform.dagster_private.definitions import inputs_without_value
from ro_platform.kernel.code.listing import RULE, listing_digest
from ro_platform.orchestration.partitions import MANIFESTS, unit_of

_PART = re.compile(r"[A-Za-z0-9_\-]+")
_NAME = re.compile(r"[A-Za-z0-9_.\-]+")
_MOST_OF_ASSET, _MOST_OF_PART, _MOST_OF_NAME = 512, 255, 128
_CHARACTERS = "letters (A to Z), digits, '_' and '-'"


def is_asset_name(key: dg.AssetKey) -> bool:
    """Whether each part of a key is made of characters that the plane's names have."""
    return bool(key.path) and all(map(_PART.fullmatch, key.path))


def shares_a_name(key: dg.AssetKey) -> bool:
    """Whether a key that the plane cannot keep would be taken there for another one."""
    return not is_asset_name(key) and is_asset_name(dg.AssetKey(unit_of(key).split("/")))


def require_asset_name(key: dg.AssetKey, role: str = "asset") -> None:
    """Raise :class:`SettingsError` for a key that the plane could not keep under its own name."""
    parts = list(key.path)
    if not is_asset_name(key):
        _refuse(
            f"{role} {_shown(key)} has a key that the plane cannot keep: each part of a key is "
            f"made of {_CHARACTERS}.",
            f"Write AssetKey({_suggested(parts)!r}), or give it an io_manager_key of its own.",
        )
    if len("/".join(parts)) > _MOST_OF_ASSET or max(map(len, parts)) > _MOST_OF_PART:
        _refuse(
            f"{role} {_shown(key)} has a key that is too long: a part has at most "
            f"{_MOST_OF_PART} characters, and all of them with a slash between at most "
            f"{_MOST_OF_ASSET}.",
            "Shorten it, or give the asset an io_manager_key of its own.",
        )


def gate_id(asset: dg.AssetKey, check_name: str) -> str:
    """The gate's name in receipts: the asset key's parts and the check's name, joined by dots."""
    return ".".join((*asset.path, check_name))


def require_gate_name(key: dg.AssetKey, check_name: str) -> str:
    """The :func:`gate_id` of a check. Raises :class:`SettingsError` for one that no receipt can
    hold, or that the gate of another asset could share."""
    require_asset_name(key)
    gate = gate_id(key, check_name)
    if not _PART.fullmatch(check_name):
        _refuse(
            f"gate {check_name!r} of asset {_shown(key)} has a name that no receipt can hold: a "
            f"gate's name is made of {_CHARACTERS}.",
            "Rename the check.",
        )
    if len(gate) > _MOST_OF_NAME:
        _refuse(
            f"gate {check_name!r} of asset {_shown(key)} has an id of {len(gate)} characters, with "
            f"the asset's key in it: {_MOST_OF_NAME} are the most.",
            "Shorten the check's name, or the asset's key.",
        )
    return gate


def require_rule_names(
    check_name: str, *, configs: Iterable[str], code_version: str | None
) -> None:
    """Raise :class:`SettingsError` for a config or a code version that no gate's rule can hold."""
    said = [*(("config", name) for name in configs), ("code_version", code_version)]
    for what, name in said:
        if name is not None and not _is_name(name):
            _refuse(
                f"gate {check_name!r} has {what} {name!r}, which is no name.",
                f"Write a string of at most {_MOST_OF_NAME} letters, digits, '_', '-' and '.'.",
            )
    if code_version and listing_digest(code_version):
        _refuse(
            f"gate {check_name!r} has code_version {code_version!r}, which names a listing.",
            f"Leave it out, and the rule is the digest of its listing; {RULE!r} begins no other.",
        )


def require_own_names(assets: Iterable[Any], ours: str) -> None:
    """Raise :class:`SettingsError` unless the plane has a name of its own for each asset that the
    IO manager ``ours`` keeps by manifest, and for what those read through it.

    What another IO manager keeps may be called as it likes, but not like one of these.
    """
    assets = list(assets)
    makers = [item for item in assets if isinstance(item, dg.AssetsDefinition)]
    makers = [item for item in makers if item.is_materializable]
    known: dict[str, dg.AssetKey] = {}
    for maker in makers:
        for key, spec in maker.specs_by_key.items():
            if spec.partitions_def != MANIFESTS:
                continue
            if maker.get_io_manager_key_for_asset_key(key) == ours:
                require_asset_name(key)
                _require_schema_name(spec)
                _require_parents(maker, spec, elsewhere=_kept_elsewhere(assets, ours))
            if known.setdefault(unit_of(key), key) != key:
                _refuse_namesakes(key, known[unit_of(key)])


def _require_parents(
    maker: dg.AssetsDefinition, spec: dg.AssetSpec, *, elsewhere: Collection[dg.AssetKey]
) -> None:
    unloaded = inputs_without_value(maker)
    for parent in (dep.asset_key for dep in spec.deps):
        loaded_by_us = parent not in unloaded and parent not in elsewhere
        if shares_a_name(parent) or (loaded_by_us and not is_asset_name(parent)):
            require_asset_name(parent, f"asset {unit_of(spec.key)!r} reads what it cannot: asset")


def _kept_elsewhere(assets: Iterable[Any], ours: str) -> set[dg.AssetKey]:
    """The assets of a code location that another IO manager loads."""
    kept: set[dg.AssetKey] = set()
    for item in assets:
        if isinstance(item, dg.AssetsDefinition):
            keys = [(key, item.get_io_manager_key_for_asset_key(key)) for key in item.keys]
        elif isinstance(item, dg.SourceAsset):
            keys = [(item.key, item.get_io_manager_key())]
        elif isinstance(item, dg.AssetSpec):
            keys = [(item.key, str(item.metadata.get("dagster/io_manager_key", ours)))]
        else:
            continue
        kept |= {key for key, io_manager in keys if io_manager != ours}
    return kept


def _require_schema_name(spec: dg.AssetSpec) -> None:
    schema = spec.metadata.get("ro/schema_version")
    if schema is not None and not _is_name(schema):
        _refuse(
            f"asset {unit_of(spec.key)!r} has ro/schema_version {schema!r}, which is no name.",
            f"Write a string of at most {_MOST_OF_NAME} letters, digits, '_', '-' and '.'.",
        )


def _is_name(value: object) -> bool:
    return (
        isinstance(value, str)
        and len(value) <= _MOST_OF_NAME
        and _NAME.fullmatch(value) is not None
    )


def _refuse_namesakes(key: dg.AssetKey, other: dg.AssetKey) -> None:
    _refuse(
        f"assets {_shown(key)} and {_shown(other)} would share the name {unit_of(key)!r}.",
        "Rename one of them: the plane joins a key's parts by slashes.",
    )


def require_workload_names(definitions: dg.Definitions) -> None:
    """Raise :class:`SettingsError` for a job that is partitioned by manifests and that none can
    name. Jobs are made whole for it only where a name is too long."""
    for job in definitions.jobs or ():
        too_long = len(job.name) > _MOST_OF_NAME
        if too_long and definitions.resolve_job_def(job.name).partitions_def == MANIFESTS:
            _refuse(
                f"job {job.name!r} is partitioned by manifests, and its name is too long for one "
                f"to name it: {_MOST_OF_NAME} characters are the most.",
                "Shorten it.",
            )


def _shown(key: dg.AssetKey) -> str:
    """The key as its author writes it: joined by slashes, two keys could look the same."""
    return f"AssetKey({list(key.path)!r})"


def _suggested(parts: list[str]) -> list[str]:
    """A key close to it that can be kept: where the loader of tables wrote dots, parts."""
    pieces = [piece for part in parts for piece in re.split(r"[./]", part)]
    kept = [re.sub(r"[^A-Za-z0-9_\-]+", "_", piece) for piece in pieces]
    return [piece[:_MOST_OF_PART] for piece in kept if piece.strip("_")] or ["name"]


def _refuse(words: str, next_step: str) -> NoReturn:
    raise errors.SettingsError(words, next_step=next_step)
