"""DSSE envelopes, protocol 1.0 (https://github.com/secure-systems-lab/dsse), signed with Ed25519.

The signature is over the pre-authentication encoding of the payload type and the payload, so
nothing has to be parsed before it is verified.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from ro_platform.dossier.refusal import refused, refusing, require
from ro_platform.kernel.canonical import canonical_bytes, parse_canonical
from ro_platform.kernel.signing import SigningKey, VerifierKey

IN_TOTO = "application/vnd.in-toto+json"


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """PAE of the protocol: what is signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def key_id(key: VerifierKey) -> str:
    """The hint in an envelope by which a verifier finds the key: its name and note key id."""
    return f"{key.name}+{key.key_id.hex()}"


def sealed_envelope(payload: bytes, key: SigningKey, *, payload_type: str = IN_TOTO) -> bytes:
    """The envelope with one signature, in canonical JSON."""
    signature = key.sign(pre_authentication_encoding(payload_type, payload))
    return canonical_bytes(
        {
            "payload": _base64(payload),
            "payloadType": payload_type,
            "signatures": [{"keyid": key_id(key.verifier), "sig": _base64(signature)}],
        }
    )


def open_envelope(data: bytes, key: VerifierKey, *, payload_type: str = IN_TOTO) -> bytes:
    """The payload, if that key is the one that signed it. Raises :class:`DossierRefusedError`.

    Stricter than the protocol: one signature, canonical JSON, base64 in its one standard form.
    """
    with refusing("statement.json"):
        envelope = parse_canonical(data)
    match envelope:
        case {
            "payload": str(payload),
            "payloadType": str(kind),
            "signatures": [{"keyid": str(signer), "sig": str(signature), **more}],
            **rest,
        } if not rest and not more:
            content, signed = _bytes_of(payload), _bytes_of(signature)
        case _:
            raise refused("statement.json is not a DSSE envelope with one signature")
    require(kind == payload_type, f"statement.json has the payload type {kind!r}")
    require(signer == key_id(key), f"statement.json is signed by {signer!r}, not {key_id(key)!r}")
    genuine = key.verifies(pre_authentication_encoding(kind, content), signed)
    require(genuine, "the signature of statement.json is not genuine")
    return content


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes_of(text: Any) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise refused("statement.json holds what is no base64") from None
    require(_base64(data) == text, "statement.json holds base64 that is not in its one form")
    return data
