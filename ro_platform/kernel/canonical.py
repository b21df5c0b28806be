"""Canonical bytes: the RFC 8785 (JCS) form of a JSON value, by the package ``rfc8785``.

Two values have the same canonical bytes exactly when they are the same JSON value. What has no
such form is refused with its position: NaN, infinities, integers beyond 2^53-1 (write them as
decimal strings), lone surrogates, and keys that are not strings.

Values in which RFC 8785 leaves no choice to the writer (see :func:`is_plain`) are written by the
encoder of ``msgspec``, which gives the same bytes some forty times faster.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import rfc8785

from ro_platform import errors
from ro_platform.contracts.base import Contract

MAX_SAFE_INTEGER = 2**53 - 1

_encode_plain = msgspec.json.Encoder(order="sorted").encode


def canonical_bytes(value: Any) -> bytes:
    """The RFC 8785 bytes of a JSON value or a contract. Raises :class:`NotCanonicalError`."""
    if isinstance(value, Contract):
        value = value.to_json_value()
    try:
        if type(value) is dict and is_plain(value):
            return _encode_plain(value)
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        position, why = _first_fault(value) or ("$", str(error))
        raise errors.NotCanonicalError(
            f"{position} {why}.",
            next_step="Write large integers as decimal strings; leave out what JSON cannot say.",
            position=position,
        ) from None


def parse_canonical(data: bytes) -> Any:
    """The JSON value of canonical bytes; refuses bytes that are not their own canonical form."""
    try:
        value = json.loads(data, parse_int=_number)
    except (ValueError, RecursionError) as error:
        raise errors.NotCanonicalError(f"not JSON: {error}.") from None
    if canonical_bytes(value) != data:
        raise errors.NotCanonicalError("the bytes are JSON, but not in canonical form.")
    return value


def is_plain(container: dict[Any, Any] | list[Any]) -> bool:
    """Whether a JSON encoder that sorts keys must give the RFC 8785 bytes.

    That is so for strings (both escape only what they must, alike), booleans, null, safe integers
    and arrays, and for objects whose keys are ASCII, where sorting by code point and by UTF-16 unit
    is the same. Floats, subclasses and everything that is refused are left to ``rfc8785``.
    """
    if type(container) is dict:
        try:
            if not "".join(container).isascii():
                return False
        except TypeError:
            return False
        values: Iterable[Any] = container.values()
    else:
        values = container
    for value in values:
        kind = type(value)
        if kind is str or kind is bool or value is None:
            continue
        if kind is int:
            if not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
                return False
        elif (kind is not dict and kind is not list) or not is_plain(value):
            return False
    return True


def _first_fault(value: Any) -> tuple[str, str] | None:
    try:
        return next(_faults(value, "$"), None)
    except RecursionError:
        return "$", "nests too deeply"


def _number(digits: str) -> int | float:
    """What a canonical whole number stands for: beyond 2^53-1 only a double is written so."""
    value = float(digits)
    return value if abs(value) > MAX_SAFE_INTEGER else int(digits)


def _faults(value: Any, position: str) -> Iterator[tuple[str, str]]:
    """Where a value leaves the domain of RFC 8785, in document order."""
    match value:
        case None | bool():
            return
        case int() if abs(value) > MAX_SAFE_INTEGER:
            yield position, "is an integer beyond 2^53-1"
        case float() if not math.isfinite(value):
            yield position, "is not a finite number"
        case str() if any("\ud800" <= char <= "\udfff" for char in value):
            yield position, "holds a lone surrogate"
        case int() | float() | str():
            return
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    yield position, f"has a key that is not a string: {key!r}"
                else:
                    yield from _faults(key, f"{position} (key)")
                    yield from _faults(item, f"{position}.{key}")
        case list() | tuple():
            for index, item in enumerate(value):
                yield from _faults(item, f"{position}[{index}]")
        case _:
            yield position, f"is a {type(value).__name__}, which JSON does not have"
