"""What a process knows about itself and may use: its environment, its token and the keys."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ro_platform.kernel.signing import SigningKey, VerifierKey

EPHEMERAL_USER = "HUMAN::tester"
"""The single user of a plane that keeps nothing."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where the rooms of access take what is not in the ledger from.

    The keys are asked for when they are needed, so a process that never issues a token or launches
    makes none.
    """

    environment: str
    single_user: str
    token: str = field(repr=False)
    access_key: Callable[[], bytes] = field(repr=False)
    launch_key: Callable[[], SigningKey] = field(repr=False)
    launch_verifiers: Callable[[], Sequence[VerifierKey]] = field(repr=False)

    @classmethod
    def ephemeral(cls) -> Credentials:
        """Keys that live in this object only, and :data:`EPHEMERAL_USER`."""
        key = secrets.token_bytes(32)
        signer = functools.cache(lambda: SigningKey.generate("ro-platform/ephemeral"))
        return cls("local", EPHEMERAL_USER, "", lambda: key, signer, lambda: (signer().verifier,))
