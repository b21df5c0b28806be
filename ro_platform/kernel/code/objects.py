"""The form of classes and of objects of own classes: what they hold, attribute by attribute."""

from __future__ import annotations

import ast
import collections
import dataclasses
import enum
import inspect
import struct
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ro_platform.kernel.code.containers import carried, pairs, plain, sorted_forms
from ro_platform.kernel.code.syntax import NotListed, class_syntax, tree

if TYPE_CHECKING:
    from ro_platform.kernel.code.listing import Walk

_MADE_BY_PYTHON = frozenset(
    {
        "__module__",
        "__qualname__",
        "__doc__",
        "__dict__",
        "__weakref__",
        "__annotations__",
        "__annotate__",
        "__annotate_func__",
        "__static_attributes__",
        "__firstlineno__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__match_args__",
        "__slots__",
        "__abstractmethods__",
        "_abc_impl",
        "__parameters__",
        "__orig_bases__",
        "__type_params__",
        "__replace__",
        "__signature__",
        "__final__",
        "__protocol_attrs__",
        "__non_callable_proto_members__",
        "_is_protocol",
        "_is_runtime_protocol",
        "__class_vars__",
        "__private_attributes__",
        "__fields__",
        "model_fields",
        "model_computed_fields",
        "_fields",
        "_field_defaults",
    }
)
_MAKERS = frozenset({"typing", "dataclasses", "enum", "abc", "collections", "functools"})
_GENERATED = frozenset(
    {
        "__init__",
        "__repr__",
        "__eq__",
        "__lt__",
        "__le__",
        "__gt__",
        "__ge__",
        "__hash__",
        "__setattr__",
        "__delattr__",
        "__new__",
        "__getnewargs__",
        "__getstate__",
        "__setstate__",
    }
)
_DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType)
_HEAP_TYPE = 1 << 9
_POINTER = struct.calcsize("P")
_OF_MEMBER = frozenset({"_value_", "_name_", "__objclass__", "_sort_order_"})
_USUAL_FLAGS = {"init": True, "compare": True, "hash": None, "kw_only": False}
_USUAL_PARAMETERS = {"eq": True, "order": False, "unsafe_hash": False}
_TOLD_ABOVE = frozenset(
    {"annotation", "required", "default", "default_factory", "metadata"}
    | {"title", "description", "examples", "repr", "deprecated"}
)
"""What is in a field's form already, and what is only for readers."""
_EXACT: dict[type, Callable[[Any], Any]] = {
    int: int.__pos__,
    float: float.__pos__,
    complex: complex.__pos__,
    str: str.__str__,
    bytes: lambda item: bytes.__getitem__(item, slice(None)),
}
"""How the value of Python's own that an object extends is had, whatever its class overrides."""


def form(walk: Walk, item: Any, what: str) -> Any:
    """The form of a class, a member of an enumeration, or an object; None for what has none."""
    if isinstance(item, type):
        # A class that a call made has no name to find it by, whatever module it says it is of.
        made_here = walk.is_own(item.__module__) or not _is_native(item)
        return _class(walk, item) if made_here else _foreign(walk, item)
    if isinstance(item, enum.Enum):
        kind = walk.value(type(item), what)
        return {"member": kind, "value": walk.value(item._value_, what)}
    return _object(walk, item, what)


def _foreign(walk: Walk, item: type) -> Any:
    return walk.elsewhere(item.__module__, item.__qualname__)


def _class(walk: Walk, item: type) -> Any:
    name = f"{item.__module__}:{item.__qualname__}"

    def fill(part: dict[str, Any]) -> None:
        part["source"] = [tree(_without_methods(node)) for node in _syntax(item)]
        part["bases"] = [walk.value(base, f"a base of {name}") for base in item.__bases__]
        if type(item) is not type:
            part["metaclass"] = walk.value(type(item), f"the metaclass of {name}")
        part["attributes"] = {
            key: walk.value(each, f"{key!r} of {name}") for key, each in sorted(_attributes(item))
        }
        part["fields"] = _fields(walk, item, name)
        part["made"] = _unusual(getattr(item, "__dataclass_params__", None), _USUAL_PARAMETERS)
        if not isinstance(getattr(item, "__pydantic_fields__", None), dict):
            part["annotated"] = carried(walk, item, _scope(item), name)

    return walk.part(item, {"class": name}, fill)


def _syntax(item: type) -> list[ast.ClassDef]:
    return class_syntax(_scope(item), item.__qualname__)


def _scope(item: type) -> Mapping[str, Any]:
    module = sys.modules.get(item.__module__)
    return vars(module) if module else {}


def _without_methods(node: ast.ClassDef) -> ast.ClassDef:
    """The class without its methods, which are parts of their own."""
    body = [
        each for each in node.body if not isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    fields: dict[str, Any] = {name: getattr(node, name, None) for name in node._fields}
    return type(node)(**{**fields, "body": body})


def _attributes(item: type) -> Iterator[tuple[str, Any]]:
    """What the class itself holds, without what Python, a decorator or a metaclass generated."""
    is_enum = issubclass(item, enum.Enum)
    for key, each in vars(item).items():
        if (
            key in _MADE_BY_PYTHON
            or key.startswith("__pydantic_")
            or isinstance(each, _DESCRIPTORS)
        ):
            continue
        if key == "__hash__" and each is None:
            continue
        if _is_generated(item, key, each):
            continue
        if is_enum and _is_of_enum(item, key, each):
            continue
        yield key, each


def _is_of_enum(kind: type, key: str, each: Any) -> bool:
    """A member, which is a field, or what ``enum`` keeps in its classes."""
    is_kept = key.startswith("_") and key.endswith("_")
    function = isinstance(_function_of(each), types.FunctionType)
    return key in vars(kind)["_member_map_"] or (is_kept and not function)


def _function_of(each: Any) -> Any:
    inner = getattr(each, "__func__", None) or getattr(each, "fget", None)
    return inner or each


def _is_generated(kind: type, key: str, each: Any) -> bool:
    """Whether a class attribute was written by a generator: it has no source of its own."""
    function = _function_of(each)
    if type(each).__name__ == "_tuplegetter":
        return True
    if not isinstance(function, types.FunctionType):
        return False
    has_maker = dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")
    module = str(function.__globals__.get("__name__"))
    if module in _MAKERS or module.partition(".")[0] == "pydantic":
        # What wraps a method is no generated one, but those that a data class has around its own.
        return not hasattr(function, "__wrapped__") or (has_maker and key in _GENERATED)
    inner = inspect.unwrap(function)
    return has_maker and key in _GENERATED and inner.__code__.co_filename.startswith("<")


def _fields(walk: Walk, item: Any, name: str) -> dict[str, Any]:
    """What an enumeration, a dataclass, a named tuple or a pydantic model declares."""
    if issubclass(item, enum.Enum):
        members = item.__members__
        return {key: _member(walk, members[key], f"{key!r} of {name}") for key in members}
    if dataclasses.is_dataclass(item):
        return {
            each.name: _data_field(walk, each, f"{each.name!r} of {name}")
            for each in dataclasses.fields(item)
        }
    if isinstance(models := getattr(item, "__pydantic_fields__", None), dict):
        private = vars(item).get("__private_attributes__") or {}
        return {
            **{key: model_field(walk, models[key], f"{key!r} of {name}") for key in models},
            **{key: _private(walk, private[key], f"{key!r} of {name}") for key in private},
        }
    if issubclass(item, tuple) and hasattr(item, "_fields"):
        defaults = item._field_defaults
        missing = dataclasses.MISSING
        return {
            key: _field(walk, defaults.get(key, missing), missing, name) for key in item._fields
        }
    return {}


def _member(walk: Walk, member: enum.Enum, what: str) -> Any:
    """The value of a member, and the attributes that its class gave it besides."""
    value = walk.value(member._value_, what)
    more = {key: each for key, each in vars(member).items() if key not in _OF_MEMBER}
    return {"value": value, "state": walk.values(more, what)} if more else value


def _data_field(walk: Walk, field: dataclasses.Field[Any], what: str) -> Any:
    form = _field(walk, field.default, field.default_factory, what)
    if field.metadata:
        form["metadata"] = walk.value(field.metadata, what)
    unusual = _unusual(field, _USUAL_FLAGS)
    return {**form, "flags": unusual} if unusual else form


def _unusual(item: Any, usual: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that are not as they are by default."""
    flags = {key: getattr(item, key, default) for key, default in usual.items()}
    return {key: bool(each) for key, each in flags.items() if each != usual[key]}


def _private(walk: Walk, attribute: Any, what: str) -> Any:
    """A private attribute of a pydantic model, which gives "undefined" as an object of its own."""
    has_default = type(attribute.default).__name__ != "PydanticUndefinedType"
    default = attribute.default if has_default else dataclasses.MISSING
    factory = attribute.default_factory or dataclasses.MISSING
    return _field(walk, default, factory, what)


def _field(walk: Walk, default: Any, factory: Any, what: str) -> Any:
    return {
        key: walk.value(each, what)
        for key, each in (("default", default), ("factory", factory))
        if each is not dataclasses.MISSING
    }


def model_field(walk: Walk, field: Any, what: str) -> Any:
    """The form of a field of a pydantic model: its type, its rules, and all that was said of it."""
    form = {
        "type": walk.value(field.annotation, what),
        "required": field.is_required(),
        "rules": [_rule(walk, each, what) for each in field.metadata],
    }
    if not field.is_required():
        default = field.default_factory or field.default
        form["default"] = walk.value(default, what)
    told = {key: each for key, each in field.__repr_args__() if key not in _TOLD_ABOVE}
    return {**form, "more": walk.values(told, what)} if told else form


def _rule(walk: Walk, rule: Any, what: str) -> Any:
    kind = type(rule)
    if kind.__module__.partition(".")[0] in {"pydantic", "annotated_types"}:
        state = {**getattr(rule, "__dict__", {})}
        if dataclasses.is_dataclass(rule):
            state = {each.name: getattr(rule, each.name) for each in dataclasses.fields(rule)}
        return {"rule": _foreign(walk, kind), "state": walk.values(state, what)}
    return walk.value(rule, what)


def _object(walk: Walk, item: Any, what: str) -> Any:
    kind = type(item)
    if kind.__module__ == "pydantic.fields" and kind.__name__ == "FieldInfo":
        return model_field(walk, item, what)
    own = walk.is_own(kind.__module__)
    if not own and not _is_frozen(item) and kind is not object:
        return None

    def fill(part: dict[str, Any]) -> None:
        part["class"] = walk.value(kind, f"the class of {what}")
        part["content"] = _content(walk, item, what)
        part["state"] = walk.values(dict(_state(item)), what)

    return walk.part(item, {"object": f"{kind.__module__}:{kind.__qualname__}"}, fill)


def _is_frozen(item: Any) -> bool:
    """An object of another distribution is told by its fields if it is a frozen dataclass."""
    parameters = getattr(type(item), "__dataclass_params__", None)
    return parameters is not None and bool(parameters.frozen)


def _content(walk: Walk, item: Any, what: str) -> Any:
    """What an object of a class that extends one of Python's holds as that."""
    for base, exact in _EXACT.items():
        if isinstance(item, base):
            return plain(exact(item))
    if isinstance(item, dict):
        return {"dict": pairs(walk, item, what)}
    if isinstance(item, set | frozenset):
        return {"set": sorted_forms(walk, item, what)}
    if isinstance(item, list | tuple | collections.deque):
        return {"list": [walk.value(each, f"an item of {what}") for each in item]}
    if isinstance(item, BaseException):
        return {"list": [walk.value(each, f"an argument of {what}") for each in item.args]}
    if native := next((kind for kind in type(item).__mro__ if _is_native(kind)), None):
        raise NotListed(what, f"extends {native.__name__}, whose content cannot be seen")
    return None


def _is_native(kind: type) -> bool:
    """Whether a class is written in C: what its objects hold is in no attribute.

    One that is made at run time, as Python's own are, is told by its size: there is more in it than
    the slots that a ``class`` statement gives.
    """
    if kind is object or not kind.__flags__ & _HEAP_TYPE:
        return kind is not object
    slots = vars(kind).get("__slots__", ())
    names = [*((slots,) if isinstance(slots, str) else slots), "__dict__", "__weakref__"]
    base = kind.__base__ or object
    return (
        kind.__basicsize__ > base.__basicsize__ + len(names) * _POINTER
        or kind.__itemsize__ != base.__itemsize__
    )


def _state(item: Any) -> Iterator[tuple[str, Any]]:
    """An object's attributes: its dictionary, its slots, a model's private ones."""
    if isinstance(state := getattr(item, "__dict__", None), Mapping):
        yield from state.items()
    for private in ("__pydantic_extra__", "__pydantic_private__"):
        if isinstance(more := getattr(item, private, None), Mapping):
            yield from more.items()
    for kind in type(item).__mro__:
        slots = vars(kind).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else tuple(slots):
            mangled = _mangled(kind, slot)
            known = slot in {"__dict__", "__weakref__"} or slot.startswith("__pydantic")
            if not known and hasattr(item, mangled):
                yield mangled, getattr(item, mangled)


def _mangled(kind: type, slot: str) -> str:
    if slot.startswith("__") and not slot.endswith("__"):
        return f"_{kind.__name__.lstrip('_')}{slot}"
    return slot
