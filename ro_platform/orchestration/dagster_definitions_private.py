"""What Dagster's definitions say of themselves and Dagster does not promise: where a module has
them, whose function a step executes, and what a launch decides of a resource.

``tests/orchestration/test_dagster_private.py`` shows each of these to mean what is assumed here.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import dagster as dg
from dagster._config.pythonic_config.resource import PartialResource
from dagster._core.definitions.decorators.op_decorator import DecoratedOpFunction
from dagster._core.workspace.autodiscovery import loadable_targets_from_loaded_module
from dagster.components.definitions import LazyDefinitions


def function_of(definition: dg.AssetsDefinition) -> Any | None:
    """The function that makes an asset or evaluates a check; None if that is no single one."""
    node = definition.node_def if definition.is_executable else None
    compute = node.compute_fn if isinstance(node, dg.OpDefinition) else None
    return compute.decorated_fn if isinstance(compute, DecoratedOpFunction) else None


def resources_of(definition: dg.AssetsDefinition) -> frozenset[str]:
    """The resources that the step's function asks for: its inputs' IO managers are not among
    them."""
    node = definition.node_def if definition.is_executable else None
    keys = node.required_resource_keys if isinstance(node, dg.OpDefinition) else ()
    return frozenset(keys or ())


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
