"""The deployment's keys: the one that it signs with, and those that it believes.

``RO_TRUSTED_KEYS`` holds verifier keys parted by spaces, or the absolute path of a file with one
a line (``#`` begins a comment). Unset, only the deployment's own key is believed, as its public
file beside the signing key says.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ro_platform import errors
from ro_platform.config.settings import Settings
from ro_platform.kernel.files import read_text
from ro_platform.kernel.signing import SigningKey, VerifierKey, read_key_file

_MAX_FILE_BYTES = 1 << 20


def deployment_key(settings: Settings) -> SigningKey:
    """The signing key. Raises :class:`SettingsError` if there is none, it is not safe, or it is
    another log's: a note is signed in the log's own name."""
    key = read_key_file(settings.signing_key)
    if key.verifier.name != settings.ledger_origin:
        raise errors.SettingsError(
            f"{settings.signing_key} is the key of {key.verifier.name!r}, and this log is "
            f"{settings.ledger_origin!r}.",
            next_step="Set RO_LEDGER_ORIGIN to the key's name, or RO_SIGNING_KEY to the log's key.",
            origin=settings.ledger_origin,
        )
    return key


def has_deployment_key(settings: Settings) -> bool:
    """Whether there is a signing key, for those who then do nothing."""
    return settings.signing_key.is_file()


def trusted_keys(settings: Settings) -> tuple[VerifierKey, ...]:
    """The keys that checkpoints are believed by; none where no key was made yet.

    Raises :class:`SettingsError` for a user of the system who may not look where they are kept.
    """
    if settings.trusted_keys:
        return verifier_keys(settings.trusted_keys)
    public = settings.signing_key.with_name(f"{settings.signing_key.name}.pub")
    try:
        if public.is_file():
            return verifier_keys(str(public))
        own = read_key_file(settings.signing_key).verifier if has_deployment_key(settings) else None
    except PermissionError as error:
        raise errors.SettingsError(
            f"The folder of the keys, {public.parent}, is closed to this user of the system.",
            next_step="Name the verifier key that you were given: `--key`, or RO_TRUSTED_KEYS.",
            setting="RO_TRUSTED_KEYS",
        ) from error
    return (own,) if own else ()


def verifier_keys(text: str) -> tuple[VerifierKey, ...]:
    """Verifier keys, or those in the file of that path.

    Raises :class:`InvalidInputError` for what is no key, and :class:`SettingsError` if the file
    cannot be read or holds none.
    """
    words = _words_of_file(Path(text)) if text.startswith("/") else text.split()
    keys = tuple(VerifierKey.parse(word) for word in words)
    if not keys:
        raise errors.SettingsError(
            f"There is no verifier key in {text!r}.",
            next_step="Put one in, as `ro ledger key` prints it.",
            setting="RO_TRUSTED_KEYS",
        )
    return keys


def _words_of_file(path: Path) -> Sequence[str]:
    try:
        lines = read_text(path, _MAX_FILE_BYTES).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.SettingsError(
            f"The verifier keys in {path} cannot be read: {error}.",
            next_step="Name a file with one verifier key a line.",
            setting="RO_TRUSTED_KEYS",
        ) from None
    return [word for line in lines for word in line.partition("#")[0].split()]
