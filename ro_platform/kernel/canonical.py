"""Canonical bytes: the RFC 8785 (JCS) form of a JSON value, by the package ``rfc8785``.

Two values have the same canonical bytes exactly when they are the same JSON value. What has no
such form is refused with its position: NaN, infinities, integers beyond 2^53-1 (write them as
decimal strings), lone surrogates, and keys that are not strings.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import rfc8785

from ro_platform.contracts.base import Contract
from ro_platform.errors import NotCanonicalError

MAX_SAFE_INTEGER = 2**53 - 1


def canonical_bytes(value: Any) -> bytes:
    """The RFC 8785 bytes of a JSON value or a contract. Raises :class:`NotCanonicalError`."""
    if isinstance(value, Contract):
        value = value.to_json_value()
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        position, why = next(_faults(value, "$"), ("$", str(error)))
        raise NotCanonicalError(
            f"{position} {why}.",
            next_step="Write large integers as decimal strings; leave out what JSON cannot say.",
            position=position,
        ) from None


def parse_canonical(data: bytes) -> Any:
    """The JSON value of canonical bytes; refuses bytes that are not their own canonical form."""
    try:
        value = json.loads(data)
    except ValueError as error:
        raise NotCanonicalError(f"not JSON: {error}.") from None
    if canonical_bytes(value) != data:
        raise NotCanonicalError("the bytes are JSON, but not in canonical form.")
    return value


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
