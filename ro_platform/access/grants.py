"""Launch grants: a signed, short-lived word that an authenticated actor asked for this launch.

A grant travels as the tag ``ro/grant`` of a run: the canonical JSON of a
:class:`~ro_platform.contracts.SignedGrant`. It says who, where, what (by digest) and until when, so
it is worth nothing for another launch, in another environment or later. Whether its actor may do it
is asked of the policy when it is opened, not when it was signed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from pydantic import ValidationError

from ro_platform import errors
from ro_platform.contracts.access import LaunchGrant, SignedGrant
from ro_platform.contracts.base import contract_error
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.clock import Clock, moment_of, utc_text
from ro_platform.kernel.signing import SigningKey, VerifierKey

DEFAULT_LIFETIME = timedelta(hours=24)
"""How long a launch may wait in a queue before it has to be asked for again."""

_DOMAIN = b"ro/grant/v0\n"
_MAX_BYTES = 4096
_SKEW = timedelta(minutes=1)


class Grants:
    """The grants of one environment.

    ``signer`` gives the launch key, in processes that authenticate actors; ``trusted`` the keys
    that a grant is believed by.
    """

    def __init__(
        self,
        signer: Callable[[], SigningKey],
        trusted: Callable[[], Sequence[VerifierKey]],
        environment: str,
        clock: Clock,
    ) -> None:
        self._signer = signer
        self._trusted = trusted
        self._environment = environment
        self._clock = clock

    def sign(self, actor: str, launch_digest: str, lifetime: timedelta = DEFAULT_LIFETIME) -> str:
        """The grant for that launch (its digest: 64 hex), as the text of a tag.

        The caller has authenticated the actor. Raises :class:`ContractError` for what is no actor
        or no digest, and :class:`SettingsError` where there can be no launch key.
        """
        now, key = self._clock(), self._signer()
        try:
            grant = LaunchGrant(
                kind="ro.launch_grant.v0",
                actor=actor,
                environment=self._environment,
                launch_digest=launch_digest,
                issued_at_utc=utc_text(now),
                expires_at_utc=utc_text(now + lifetime),
            )
        except ValidationError as error:
            raise contract_error(error, kind="LaunchGrant", where="launch grant") from None
        signature = key.sign(_signed_bytes(grant)).hex()
        signed = SignedGrant(grant=grant, key_id=key.verifier.key_id.hex(), signature=signature)
        return canonical_bytes(signed).decode()

    def open(self, text: str | None, launch_digest: str, *, begun: bool = False) -> LaunchGrant:
        """What a grant says, if it is genuine and for exactly that launch, here and now.

        With ``begun`` the launch has taken place: what runs goes on though its grant has expired.

        Raises :class:`GrantRefusedError` for none at all, one that is malformed, not signed by a
        trusted key, for another environment or another launch, expired, or from the future.
        """
        grant = self._genuine(text)
        if grant.environment != self._environment:
            raise _refused(f"is for the environment {grant.environment}", grant)
        if grant.launch_digest != launch_digest:
            raise _refused("is for something else than what is launched", grant)
        now = self._clock()
        if not begun and moment_of(grant.expires_at_utc) <= now:
            raise _refused(f"expired at {grant.expires_at_utc}", grant)
        if moment_of(grant.issued_at_utc) > now + _SKEW:
            raise _refused(f"says that it is from {grant.issued_at_utc}, in the future", grant)
        return grant

    def _genuine(self, text: str | None) -> LaunchGrant:
        if not text:
            raise _refused("is missing")
        if len(text) > _MAX_BYTES:
            raise _refused("is too long to be one")
        try:
            signed = SignedGrant.from_json(text, where="the tag ro/grant")
            signature = bytes.fromhex(signed.signature)
        except (errors.RunOperateError, ValueError):
            raise _refused("cannot be read") from None
        data = _signed_bytes(signed.grant)
        for key in self._trusted():
            if key.key_id.hex() == signed.key_id and key.verifies(data, signature):
                return signed.grant
        raise _refused("is not signed by the launch key of this deployment")


def _signed_bytes(grant: LaunchGrant) -> bytes:
    # The domain keeps a signature from being taken for one of a checkpoint, should keys be shared.
    return _DOMAIN + canonical_bytes(grant)


def _refused(why: str, grant: LaunchGrant | None = None) -> errors.GrantRefusedError:
    return errors.GrantRefusedError(
        f"The launch grant {why}.",
        next_step="Launch again through the authenticated gateway, or with RO_TOKEN set.",
        actor=grant and grant.actor,
        environment=grant and grant.environment,
        launch_digest=grant and grant.launch_digest,
    )
