"""What a gate judges by, and what an asset is made by: digests of all that their code reads.

A rule's ``code_version`` is ``rule1-`` and the digest of a listing
(:mod:`ro_platform.kernel.code.listing`): the check, its inputs, its resources with their fields. It
is taken when ``govern`` has the definitions. What has no canonical form is refused there, by name,
unless the gate says its own ``code_version``. The listings are kept with the gate sets on
record, so that a person can compare two rules.
"""

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from ro_platform import errors
from ro_platform.contracts import GateRule
from ro_platform.dagster_private.definitions import (
    configured_with,
    environment_of,
    function_of,
    given_as,
    is_left_to_launch,
    metadata_of_inputs,
    partitions_told,
    resources_of,
)
from ro_platform.kernel.code.listing import CODE, RULE, Walk, listing_of
from ro_platform.kernel.code.syntax import NotListed
from ro_platform.orchestration.listings import remember
from ro_platform.orchestration.partitions import unit_of
from ro_platform.orchestration.resource import PlaneResource

_OURS = frozenset({"plane", "io_manager"})

Resources = Mapping[str, Any]
_taken: dict[tuple[str, str], list[Mapping[str, tuple[object, str | None]]]] = {}
"""With which resources this process took a rule, by its gate's id and code version: each as it was
given, and the digest of its form at that time."""


@dataclass(frozen=True)
class Gate:
    """A gate as its decorator declares it; what its rule is, :meth:`rule` says."""

    gate_id: str
    check: Callable[..., Any]
    configs: tuple[str, ...]
    code_version: str | None

    def rule(self, definition: dg.AssetChecksDefinition, resources: Resources) -> GateRule:
        """Its rule, with the resources that it is given.

        Raises :class:`CodeNotCanonicalError` and :class:`SettingsError`, both by name.
        """
        used = self._resources(definition, resources)
        rule = GateRule(
            gate_id=self.gate_id,
            code_version=self.code_version or self._listed(definition, used),
            configs=self.configs,
        )
        taken = {key: (given_as(each), self._form(each)) for key, each in used.items()}
        _taken.setdefault((rule.gate_id, rule.code_version), []).append(taken)
        return rule

    def require_resources(self, rule: GateRule, given: Resources) -> None:
        """Raise :class:`InvalidInputError` unless a step is given the resources that its rule was
        taken with: the same objects, or ones of the same form.

        A program may hand others to ``execute_in_process`` and ``materialize``, which Dagster
        takes in the place of those that the code gives.
        """
        declared = _taken.get((rule.gate_id, rule.code_version), [])
        others = [self._other(taken, given) for taken in declared]
        if others and all(others):
            raise errors.InvalidInputError(
                f"gate {self.gate_id!r} was started with another resource {others[-1]!r} than the "
                "code gives it, and it judges by that.",
                next_step="Start it with the resources of its Definitions, or put the other one "
                "into those: that is another rule.",
                gate=self.gate_id,
            )

    def _other(self, taken: Mapping[str, tuple[object, str | None]], given: Resources) -> str:
        """The first resource that is not what was taken; empty if there is none."""
        for key, (resource, form) in taken.items():
            if given_as(given.get(key)) is not resource and (
                form is None or form != self._form(given.get(key))
            ):
                return key
        return ""

    def _form(self, resource: object) -> str | None:
        """The digest of a resource's form; None if it has none."""
        subject = {"resource": given_as(resource)}
        try:
            return listing_of(subject, home=_home_of(self.check), leaf=_leaf).digest
        except NotListed:
            return None

    def _listed(self, definition: dg.AssetChecksDefinition, used: Resources) -> str:
        subject = {
            "check": self.check,
            "inputs": dict(sorted(definition.keys_by_input_name.items())),
            "types": _types_of(self.check, definition.keys_by_input_name),
            "resources": dict(used),
            **_asked_of(definition),
        }
        try:
            listing = listing_of(subject, home=_home_of(self.check), leaf=_leaf)
        except NotListed as refused:
            raise errors.CodeNotCanonicalError(
                f"gate {self.gate_id!r} judges by what cannot be listed: {refused}.",
                next_step="Read such a value from a config, or give the gate a code_version and "
                "raise it whenever what it judges by changes.",
                gate=self.gate_id,
            ) from None
        return remember(RULE, listing)

    def _resources(self, definition: dg.AssetChecksDefinition, given: Resources) -> Resources:
        """The resources that it uses beside the plane's own, none of which a launch may set."""
        used = dict[str, Any]()
        asked = resources_of(definition) - _OURS
        while left := sorted(asked - used.keys()):
            key = left[0]
            if key not in given:
                raise errors.SettingsError(
                    f"gate {self.gate_id!r} uses the resource {key!r}, which is not in these "
                    "Definitions.",
                    next_step="Give it to them; to `plane_resources` as its `resources`.",
                )
            resource = used[key] = given[key]
            if why := is_left_to_launch(resource):
                raise errors.SettingsError(
                    f"gate {self.gate_id!r} uses the resource {key!r}, {why}: whoever launches it "
                    "would set what it judges by.",
                    next_step="Give the resource its values in the code, or pin a config.",
                )
            if isinstance(resource, dg.ResourceDefinition):
                asked |= resource.required_resource_keys - _OURS
        return {key: each for key, each in used.items() if not isinstance(each, PlaneResource)}


def refuse_config(check: Callable[..., Any], gate_id: str, options: Mapping[str, Any]) -> None:
    """Refuse a check that takes Dagster's run config. Raises :class:`SettingsError`."""
    takes = "config" in inspect.signature(check).parameters
    if takes or options.get("config_schema") is not None:
        raise errors.SettingsError(
            f"gate {gate_id!r} takes run config, so that whoever launches it sets what it judges "
            "by.",
            next_step="Publish the values as a config of the plane and name it in `configs`; the "
            "manifest pins its version.",
        )


def asset_code(definition: dg.AssetsDefinition) -> tuple[str | None, str | None]:
    """An asset's code digest (``code1-``), or None and why there is none."""
    function = function_of(definition)
    if function is None:
        return None, "it is made by a graph or by another framework's step"
    subject = {
        "asset": function,
        "inputs": dict(sorted(definition.keys_by_input_name.items())),
        "types": _types_of(function, definition.keys_by_input_name),
        **_asked_of(definition),
    }
    try:
        listing = listing_of(subject, home=_home_of(function), leaf=_leaf)
    except NotListed as refused:
        return None, str(refused)
    return remember(CODE, listing), None


def _asked_of(definition: dg.AssetsDefinition) -> dict[str, Any]:
    """How inputs are asked for, where it is said: their metadata, which an IO manager reads, and
    which partitions of them are loaded. Empty where nothing is said."""
    mappings = {
        name: mapping
        for name, key in sorted(definition.keys_by_input_name.items())
        if (mapping := definition.get_partition_mapping(key)) is not None
    }
    asked = {"metadata": metadata_of_inputs(definition), "mappings": mappings}
    return {"asked": said} if (said := {name: each for name, each in asked.items() if each}) else {}


def _home_of(function: Any) -> str:
    """The module whose distribution the code is of."""
    while isinstance(function, functools.partial):
        function = function.func
    inner = inspect.unwrap(function)
    scope = getattr(inner, "__globals__", {})
    return str(scope.get("__name__") or type(inner).__module__)


def _types_of(function: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The types that a function asks its inputs as: they decide what it is handed."""
    inner = inspect.unwrap(function)
    try:
        found = typing.get_type_hints(inner)
    except (NameError, TypeError, AttributeError):
        found = getattr(inner, "__annotations__", {})
    return {name: found[name] for name in sorted(inputs) if name in found}


def _leaf(walk: Walk, item: Any) -> Any:
    """The forms of Dagster's own objects: what code can ask of them, and resources by their class
    and fields."""
    if isinstance(item, dg.AssetKey):
        return {"asset_key": unit_of(item)}
    if isinstance(item, dg.AssetCheckKey):
        return {"check_key": f"{unit_of(item.asset_key)}#{item.name}"}
    if isinstance(item, dg.AssetSpec | dg.AssetCheckSpec):
        key = {
            "asset_key" if isinstance(item, dg.AssetSpec) else "check_key": _leaf(walk, item.key)
        }
        metadata = walk.values(item.metadata or {}, f"the metadata of {item.key}")
        return {**key, "metadata": metadata} if metadata else key
    if isinstance(item, dg.AssetsDefinition):
        return _assets(walk, item)
    if (variable := environment_of(item)) is not None:
        return {"environment": variable}
    if isinstance(item, dg.PartitionMapping):
        return _mapping(walk, item)
    if isinstance(item, dg.PartitionsDefinition):
        return {"partitions": type(item).__name__, "of": partitions_told(item)}
    if isinstance(item, dg.MetadataValue | dg.TableSchema):
        stored: Any = item  # Dagster's own type of what it can serialize is not a public one
        return {"dagster": dg.serialize_value(stored)}
    if isinstance(item, PlaneResource):
        return {"resource": "plane"}
    if isinstance(item, dg.ConfigurableResource | dg.ConfigurableIOManagerFactory):
        fields = {name: getattr(item, name) for name in type(item).model_fields}
        kind = walk.value(type(item), type(item).__name__)
        return {"resource": kind, "fields": walk.values(fields, type(item).__name__)}
    if isinstance(item, dg.ResourceDefinition) and inspect.isfunction(item.resource_fn):
        form = {"resource": walk.value(item.resource_fn, "a resource")}
        bound = configured_with(item)
        return {**form, "configured": walk.value(bound, "its config")} if bound else form
    return None


def _mapping(walk: Walk, item: dg.PartitionMapping) -> Any:
    """A partition mapping: Dagster's own as it stores them, another by its class and attributes."""
    if type(item).__module__.startswith("dagster."):
        told: Any = item  # Dagster's own type of what it can serialize is not a public one
        return {"mapping": dg.serialize_value(told)}
    kind = walk.value(type(item), type(item).__name__)
    return {"mapping": kind, "fields": walk.values(vars(item), type(item).__name__)}


def _assets(walk: Walk, item: dg.AssetsDefinition) -> Any:
    """Assets and checks that code names: it can call them, and ask for their metadata."""
    checks = [f"{unit_of(key.asset_key)}#{key.name}" for key in item.check_keys]
    form: dict[str, Any] = {"assets": sorted(map(unit_of, item.keys)), "checks": sorted(checks)}
    if (function := function_of(item)) is not None:
        form["made_by"] = walk.value(function, "what makes an asset or evaluates a check")
    specs = {unit_of(spec.key): spec for spec in item.specs if spec.metadata}
    if specs:
        form["specs"] = walk.values(specs, "assets")
    return form
