"""What annotations carry besides a type: the metadata of ``Annotated``, by which code can judge."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ro_platform.kernel.code.listing import Walk


def carried(walk: Walk, item: Any, scope: Mapping[str, Any], what: str) -> dict[str, Any]:
    """The metadata that the annotations of a function or a class carry, by name.

    An annotation that cannot be evaluated, such as one for a type checker alone, carries none.
    """
    annotations = getattr(item, "__annotations__", None) or {}
    inside = dict(vars(item)) if isinstance(item, type) else {}
    found = {
        name: [walk.value(each, f"the annotation {name!r} of {what}") for each in _metadata(hint)]
        for name in sorted(annotations)
        if (hint := _evaluated(annotations[name], scope, inside)) is not None
    }
    return {name: forms for name, forms in found.items() if forms}


def _evaluated(annotation: Any, scope: Mapping[str, Any], inside: Mapping[str, Any]) -> Any:
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, dict(scope), dict(inside), include_extras=True)["it"]
    except Exception:  # noqa: BLE001  # whatever evaluating it raises, it is no type for anybody
        return None


def _metadata(hint: Any) -> Iterator[Any]:
    if typing.get_origin(hint) is typing.Annotated:
        yield from hint.__metadata__
    for argument in typing.get_args(hint):
        if isinstance(argument, list | tuple):
            for each in argument:
                yield from _metadata(each)
        elif typing.get_origin(argument) is not None:
            yield from _metadata(argument)
