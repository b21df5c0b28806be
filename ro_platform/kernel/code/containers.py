"""Values as a listing of code states them: plain ones, annotations, and containers of them."""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import functools
import inspect
import ipaddress
import logging
import operator
import pathlib
import re
import types
import typing
import uuid
import zoneinfo
from collections.abc import Collection, Iterator, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ro_platform.kernel.code.syntax import NotListed, constant, text_of

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


_BY_TEXT = (
    decimal.Decimal,
    fractions.Fraction,
    uuid.UUID,
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
    zoneinfo.ZoneInfo,
)
_LITERAL = (str, int, float, complex, bytes, bool, type(None), type(...))
_LARGE = 4096


def plain(value: Any) -> Any:
    """The form of a plain value that holds no other; None where it is none, and for None."""
    kind = type(value)
    if kind is bytes and len(value) > _LARGE:
        return {"bytes": {"sha256": sha256(value).hexdigest(), "size": str(len(value))}}
    if kind in _LITERAL:
        return constant(value)
    if kind is decimal.Decimal:
        return {"Decimal": str(value)}
    if kind in _BY_TEXT:
        return {kind.__name__: str(value)}
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta):
        return _moment(value)
    if isinstance(value, datetime.timezone):
        return {"timezone": repr(value.utcoffset(None).total_seconds())}
    if isinstance(value, pathlib.PurePath) and kind.__module__.startswith("pathlib"):
        return {"path": text_of(value.as_posix())}
    if isinstance(value, re.Pattern):
        return {"pattern": [constant(value.pattern), {"int": str(value.flags)}]}
    if isinstance(value, range):
        return {"range": [str(value.start), str(value.stop), str(value.step)]}
    if isinstance(value, logging.Logger) and kind.__module__ == "logging":
        return {"logger": value.name}
    if kind is bytearray:
        return {"bytearray": bytes(value).hex()}
    return _of_numpy(value)


def _moment(value: Any) -> Any:
    kind = type(value)
    if kind.__module__ != "datetime":
        return None
    if kind is datetime.timedelta:
        return {"timedelta": [str(value.days), str(value.seconds), str(value.microseconds)]}
    zone = getattr(value, "tzinfo", None)
    form = {kind.__name__: value.isoformat()}
    if zone is not None:
        named = plain(zone)
        if named is None:
            return None
        form["zone"] = named
    if getattr(value, "fold", 0):
        form["fold"] = "1"
    return form


def _of_numpy(value: Any) -> Any:
    """Types, scalars and arrays of numpy, by dtype, shape and bytes; never arrays of objects."""
    kind = type(value)
    if kind.__module__ == "numpy.dtypes" and getattr(value, "metadata", None) is None:
        return {"dtype": str(value) if value.names else value.str}
    if kind.__module__ != "numpy" or not hasattr(value, "dtype"):
        return None
    if kind.__name__ not in {"ndarray"} and getattr(value, "shape", None) != ():
        return None
    if value.dtype.hasobject:
        return None
    digest = sha256(value.tobytes()).hexdigest()
    shape = [str(size) for size in value.shape]
    content = {"value": text_of(str(value.item()))} if shape == [] else {"sha256": digest}
    # The short form of a structured type leaves out its fields' names.
    of_type = str(value.dtype) if value.dtype.names else value.dtype.str
    return {"numpy": {"type": of_type, "shape": shape, "of": kind.__name__, **content}}


_SEQUENCES = (list, tuple, collections.deque)
_SETS = (set, frozenset)
_MAPPINGS = (dict, collections.OrderedDict, collections.Counter, types.MappingProxyType)
_FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial)
_PICKERS = (operator.itemgetter, operator.attrgetter, operator.methodcaller)


def form(walk: Walk, item: Any, what: str) -> Any:
    """The form of a container of the language or the standard library; None for anything else."""
    return walk.nested(item, lambda: _form(walk, item, what))


def pairs(walk: Walk, item: Mapping[Any, Any], what: str) -> list[Any]:
    """The entries of a mapping in its own order, which a loop over it sees."""
    return [
        [walk.value(key, f"a key of {what}"), walk.value(each, f"{key!r} in {what}")]
        for key, each in item.items()
    ]


def sorted_forms(walk: Walk, item: Collection[Any], what: str) -> list[Any]:
    """The forms of a set's elements, in an order that is no hash seed's: that of their listings."""
    if any(isinstance(each, _FUNCTIONS) for each in item) and len(item) > 1:
        raise NotListed(what, "is a set of functions, which have no order")
    keyed = [(walk.alone(each, f"an element of {what}"), each) for each in item]
    if len({key for key, _ in keyed}) < len(keyed):
        raise NotListed(what, "is a set of objects that cannot be told apart")
    keyed.sort(key=lambda each: each[0])
    return [walk.value(each, f"an element of {what}") for _, each in keyed]


def _form(walk: Walk, item: Any, what: str) -> Any:
    kind = type(item)
    if kind in _SEQUENCES:
        form: dict[str, Any] = {
            kind.__name__: [walk.value(each, f"an item of {what}") for each in item]
        }
        return form if kind is not collections.deque else {**form, "limit": str(item.maxlen)}
    if kind in _SETS:
        return {kind.__name__: sorted_forms(walk, item, what)}
    if kind in _MAPPINGS:
        return {kind.__name__: pairs(walk, item, what)}
    if kind is collections.defaultdict:
        made = walk.value(item.default_factory, f"the default of {what}")
        return {"defaultdict": pairs(walk, item, what), "default": made}
    if kind is collections.ChainMap:
        return {"ChainMap": [walk.value(each, f"a map of {what}") for each in item.maps]}
    if kind is inspect.Signature:  # what a decorator says that its function takes
        return {
            "signature": [_parameter(walk, each, what) for each in item.parameters.values()],
            "returns": walk.value(item.return_annotation, f"what {what} returns"),
        }
    if kind is types.SimpleNamespace:
        return {"SimpleNamespace": walk.values(vars(item), what)}
    if kind is slice:
        return {"slice": [walk.value(each, what) for each in (item.start, item.stop, item.step)]}
    return _bound(walk, item, what) or _typing(walk, item, what)


def _parameter(walk: Walk, item: inspect.Parameter, what: str) -> Any:
    named = f"parameter {item.name!r} of {what}"
    return [
        item.name,
        item.kind.name,
        walk.value(item.default, named),
        walk.value(item.annotation, named),
    ]


def _bound(walk: Walk, item: Any, what: str) -> Any:
    """Functions with something bound to them."""
    kind = type(item)
    if kind is functools.partial or kind is functools.partialmethod:
        return {
            kind.__name__: walk.value(item.func, f"the function of {what}"),
            "arguments": [walk.value(each, f"an argument of {what}") for each in item.args],
            "keywords": pairs(walk, item.keywords, what),
        }
    if kind is types.MethodType:
        return {
            "method": walk.value(item.__func__, what),
            "self": walk.value(item.__self__, f"what {what} is bound to"),
        }
    if kind in (types.BuiltinFunctionType, types.MethodWrapperType):
        bound = getattr(item, "__self__", None)
        if bound is None or isinstance(bound, types.ModuleType):
            return None
        return {"method": item.__name__, "self": walk.value(bound, f"what {what} is bound to")}
    if kind in (types.MethodDescriptorType, types.WrapperDescriptorType):
        return {"method": item.__name__, "of": walk.value(item.__objclass__, what)}
    if kind in (staticmethod, classmethod):
        return {kind.__name__: walk.value(item.__func__, what)}
    if kind is property:
        made = {"get": item.fget, "set": item.fset, "delete": item.fdel}
        return {"property": walk.values(made, what)}
    if kind is functools.cached_property:
        return {"cached_property": walk.value(item.func, what)}
    if kind is functools.singledispatchmethod:
        return {"singledispatchmethod": walk.value(item.dispatcher, what)}
    if kind is functools._lru_cache_wrapper:
        return {"cached": walk.value(item.__wrapped__, what)}
    if kind in _PICKERS:
        made_by, arguments = item.__reduce__()[:2]
        form = {kind.__name__: [walk.value(each, what) for each in arguments]}
        has_keywords = isinstance(made_by, functools.partial)
        return {**form, "by": walk.value(made_by, what)} if has_keywords else form
    if isinstance(item, types.FunctionType) and hasattr(item, "registry"):
        return _dispatch(walk, item, what)
    return None


def _dispatch(walk: Walk, item: Any, what: str) -> Any:
    """A function of ``functools.singledispatch``: one function for each class."""
    if item.__globals__.get("__name__") != "functools":
        return None
    return {"singledispatch": pairs(walk, item.registry, what)}


def _typing(walk: Walk, item: Any, what: str) -> Any:
    """Types with parameters, as annotations have them."""
    if isinstance(item, typing.TypeVar):
        return {"type_variable": item.__name__}
    if isinstance(item, typing.NewType):
        return {"new_type": item.__name__, "of": walk.value(item.__supertype__, what)}
    if item is typing.Any:
        return {"type": "Any"}
    origin = typing.get_origin(item)
    if origin is None:
        return None
    arguments = [walk.value(each, f"an argument of {what}") for each in typing.get_args(item)]
    if origin is types.UnionType or origin is typing.Union:
        return {"union": arguments}
    return {"type": walk.value(origin, what), "arguments": arguments}
