"""What Dagster's definitions say of themselves and Dagster does not promise: where a module has
them, whose function a step executes, what a launch decides of a resource, what depends on what, and
what is left of a job.

``tests/orchestration/test_dagster_private.py`` shows each of these to mean what is assumed here.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, cast

import dagster as dg
from dagster._config.field_utils import IntEnvVar
from dagster._config.pythonic_config.resource import PartialResource
from dagster._core.definitions.assets.definition.asset_spec import (
    SYSTEM_METADATA_KEY_AUTO_CREATED_STUB_ASSET,
)
from dagster._core.definitions.decorators.op_decorator import DecoratedOpFunction
from dagster._core.definitions.definition_config_schema import ConfiguredDefinitionConfigSchema
from dagster._core.workspace.autodiscovery import loadable_targets_from_loaded_module
from dagster.components.definitions import LazyDefinitions


def function_of(definition: dg.AssetsDefinition) -> Any | None:
    """The function that makes an asset or evaluates a check; None if that is no single one."""
    node = definition.node_def if definition.is_executable else None
    compute = node.compute_fn if isinstance(node, dg.OpDefinition) else None
    return compute.decorated_fn if isinstance(compute, DecoratedOpFunction) else None


def resources_of(definition: dg.AssetsDefinition) -> frozenset[str]:
    """The resources that the step's function asks for, and the IO managers that its inputs name."""
    node = definition.node_def if definition.is_executable else None
    if not isinstance(node, dg.OpDefinition):
        return frozenset()
    managers = {each.input_manager_key for each in node.input_defs if each.input_manager_key}
    return frozenset({*node.required_resource_keys, *managers})


def given_as(resource: object) -> object:
    """What the code gave as a resource, of which a job has Dagster's definition: a configurable
    resource, a plain object, or that definition itself."""
    function: Any = getattr(resource, "resource_fn", None)
    owner = getattr(function, "__self__", None)
    if isinstance(owner, dg.ConfigurableResource | dg.ConfigurableIOManagerFactory):
        return owner
    if getattr(function, "__code__", None) in _CONSTANT:
        return inspect.getclosurevars(function).nonlocals["value"]
    return resource


_CONSTANT = [
    made.resource_fn.__code__
    for made in (
        dg.ResourceDefinition.hardcoded_resource(None),
        dg.IOManagerDefinition.hardcoded_io_manager(cast(Any, dg.InMemoryIOManager)()),
    )
]
"""The functions in which Dagster keeps a plain object, or an IO manager."""


def configured_with(resource: dg.ResourceDefinition) -> list[Any]:
    """The configs that the code bound to a resource by ``configured``, as they are written: the
    outermost first, an environment variable by its name."""
    found: list[Any] = []
    schema: Any = resource.config_schema
    while isinstance(schema, ConfiguredDefinitionConfigSchema):
        found.append(schema._config_fn({}))
        schema = getattr(schema.parent_def, "config_schema", None)
    return found


def environment_of(item: object) -> str | None:
    """The name of the environment variable that an ``EnvVar`` of any kind stands for."""
    if isinstance(item, dg.EnvVar):
        return item.env_var_name
    return item.name if isinstance(item, IntEnvVar) else None


def partitions_told(partitions: dg.PartitionsDefinition[Any]) -> str:
    """What partitions are of: dynamic ones by their name, any other by Dagster's digest."""
    if isinstance(partitions, dg.DynamicPartitionsDefinition):
        return str(partitions.name)
    return partitions.get_serializable_unique_identifier()


def is_left_to_launch(resource: Any) -> str | None:
    """Why a launch decides what a resource is; None where the code alone does.

    Fields that the code gives have a form in the code; that a launch does not replace them is
    asked where the run starts.
    """
    if isinstance(resource, PartialResource):
        return "which is configured at launch"
    if isinstance(resource, dg.ResourceDefinition) and not isinstance(
        resource, dg.ConfigurableResource
    ):
        schema = resource.config_schema.as_field().config_type
        if getattr(schema, "fields", None):
            return "which takes run config"
    nested = (
        [item for item in vars(resource).values() if isinstance(item, PartialResource)]
        if (isinstance(resource, dg.ConfigurableResource))
        else []
    )
    return "part of which is configured at launch" if nested else None


def is_lazy(target: object) -> bool:
    """Whether an attribute of a module is a function decorated with ``@dg.definitions``."""
    return isinstance(target, LazyDefinitions)


def target_of_module(module: ModuleType) -> object:
    """The only thing in a module that Dagster would load as a code location. Raises Dagster's own
    error if there is none, or more than one."""
    return loadable_targets_from_loaded_module(module)[0].target_definition


def inputs_without_value(definition: dg.AssetsDefinition) -> frozenset[dg.AssetKey]:
    """The assets that a definition depends on without loading them."""
    inputs = definition.node_def.input_dict
    return frozenset(
        key
        for name, key in definition.keys_by_input_name.items()
        if inputs[name].dagster_type.is_nothing
    )


def metadata_of_inputs(definition: dg.AssetsDefinition) -> dict[str, dict[str, Any]]:
    """The metadata that a definition gives its inputs, by name, where it gives any."""
    inputs = definition.node_def.input_dict
    return {name: dict(each.metadata) for name, each in sorted(inputs.items()) if each.metadata}


def assets_without_value(definition: dg.AssetsDefinition) -> frozenset[dg.AssetKey]:
    """The assets that a definition makes and hands over no value of, by their outputs' types; of a
    graph-backed asset by the step that its output comes from."""
    return frozenset(
        key
        for name, key in definition.keys_by_output_name.items()
        if definition.node_def.resolve_output_to_origin(name, None)[0].dagster_type.is_nothing
    )


def code_versions(job: dg.JobDefinition) -> dict[dg.AssetKey, str | None]:
    """The code version that each asset of a job declares, None where it declares none."""
    graph = job.asset_layer.asset_graph
    return {key: graph.get(key).code_version for key in job.asset_layer.executable_asset_keys}


def parents_in(job: dg.JobDefinition, key: dg.AssetKey) -> set[dg.AssetKey]:
    """What an asset of a job depends on, loaded or not."""
    return set(job.asset_layer.asset_graph.get(key).parent_keys)


def asset_order(job: dg.JobDefinition) -> list[dg.AssetKey]:
    """The assets that a job materializes, producers before consumers."""
    selected = job.asset_layer.executable_asset_keys
    return [key for key in job.asset_layer.asset_graph.toposorted_asset_keys if key in selected]


def job_gates(job: dg.JobDefinition, asset: dg.AssetKey) -> frozenset[dg.AssetCheckKey]:
    """The checks of an asset that a job evaluates."""
    return frozenset(
        key for key in job.asset_layer.asset_graph.asset_check_keys if key.asset_key == asset
    )


def judged_assets(job: dg.JobDefinition) -> frozenset[dg.AssetKey]:
    """The assets that a job has checks of, whether it makes them or not."""
    return frozenset(key.asset_key for key in job.asset_layer.asset_graph.asset_check_keys)


def parents_in_job(job: dg.JobDefinition, asset: dg.AssetKey) -> frozenset[dg.AssetKey]:
    """The assets that one depends on, loaded or not, itself left out."""
    return frozenset(job.asset_layer.asset_graph.get(asset).parent_keys) - {asset}


def execution_set(job: dg.JobDefinition, asset: dg.AssetKey) -> frozenset[dg.AssetKey]:
    """The assets that must be materialized together with one, itself included."""
    keys = job.asset_layer.asset_graph.get_execution_set_asset_and_check_keys(asset)
    return frozenset(key for key in keys if isinstance(key, dg.AssetKey))


def subset_of(
    job: dg.JobDefinition,
    assets: Sequence[dg.AssetKey],
    checks: Sequence[dg.AssetCheckKey],
) -> dg.JobDefinition:
    """The job reduced to these assets and checks, under its own name."""
    return _by_hand(job).get_subset(asset_selection=set(assets), asset_check_selection=set(checks))


def config_of_job(job: dg.JobDefinition, partition_key: str) -> Mapping[str, Any]:
    """The run config that a job brings itself, for a partition or for all; empty if none."""
    if job.partitioned_config is not None:
        return job.partitioned_config.get_run_config_for_partition_key(partition_key)
    return job.run_config or {}


def has_step(job: dg.JobDefinition, name: str) -> bool:
    """Whether a job has an op or graph of that name at its top."""
    return job.has_node_named(name)


def job_of_run(job: dg.JobDefinition, run: dg.DagsterRun) -> dg.JobDefinition:
    """The job reduced to what a run of it selects."""
    if run.asset_selection or run.asset_check_selection:
        return _by_hand(job).get_subset(
            asset_selection=run.asset_selection or frozenset(),
            asset_check_selection=run.asset_check_selection,
        )
    return job.get_subset(op_selection=run.op_selection) if run.op_selection else job


def _by_hand(job: dg.JobDefinition) -> dg.JobDefinition:
    """The job without its automation condition, which says when and not what: with one, Dagster
    1.13 neither reduces a partitioned job nor executes it in process."""
    return job if job.automation_condition is None else job._copy(_automation_condition=None)


def loggers_of(
    job: dg.JobDefinition, loggers: Mapping[str, dg.LoggerDefinition]
) -> dg.JobDefinition:
    """The job with these loggers in the place of its own."""
    return job.with_logger_defs(loggers)


def edges_of(
    repository: dg.RepositoryDefinition, selection: dg.AssetSelection
) -> dict[dg.AssetKey, frozenset[dg.AssetKey]]:
    """What a selection materializes, each asset with those that it depends on, loaded or not,
    itself left out."""
    graph = repository.asset_graph
    made = [key for key in selection.resolve(graph) if graph.get(key).is_materializable]
    return {key: frozenset(graph.get(key).parent_keys) - {key} for key in made}


def judged_with(
    repository: dg.RepositoryDefinition, selection: dg.AssetSelection
) -> frozenset[dg.AssetKey]:
    """What the checks of a selection depend on besides the assets that they judge."""
    graph = repository.asset_graph
    return frozenset(
        key
        for check in selection.resolve_checks(graph)
        for key in graph.get(check).parent_entity_keys
        if isinstance(key, dg.AssetKey) and key != check.asset_key
    )


def mapped_parents(
    repository: dg.RepositoryDefinition, asset: dg.AssetKey
) -> frozenset[dg.AssetKey]:
    """The assets that one depends on under other partition keys than its own."""
    mappings = repository.asset_graph.get(asset).partition_mappings
    same = dg.IdentityPartitionMapping
    return frozenset(key for key, mapping in mappings.items() if not isinstance(mapping, same))


def is_foreign(repository: dg.RepositoryDefinition, asset: dg.AssetKey) -> bool:
    """Whether a code location only knows an asset, made elsewhere, by its partitions or as a name.

    An asset that is described here as unpartitioned is taken at its word: it is no foreign one.
    """
    node = repository.asset_graph.get(asset)
    named_only = SYSTEM_METADATA_KEY_AUTO_CREATED_STUB_ASSET in node.metadata
    return not node.is_materializable and (node.is_partitioned or named_only)
