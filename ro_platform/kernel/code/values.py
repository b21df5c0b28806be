"""The canonical form of plain values: those that are wholly told by their type and content."""

from __future__ import annotations

import datetime
import decimal
import fractions
import ipaddress
import logging
import pathlib
import re
import uuid
import zoneinfo
from hashlib import sha256
from typing import Any

from ro_platform.kernel.code.syntax import constant, text_of

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
