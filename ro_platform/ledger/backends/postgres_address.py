"""Where a ledger in PostgreSQL is, without its driver: an address is read before it is used.

The URL's form is libpq's, ``postgresql://user:password@host:port/database?sslmode=…``. It is taken
apart here, since libpq quotes what it cannot read, and that may be a password. A password may also
be left to ``~/.pgpass`` or a ``passfile``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from ro_platform import errors

SCHEMES = ("postgresql", "postgres")
_OPTIONS = frozenset(
    {"host", "port", "user", "passfile", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl"}
    | {"channel_binding", "gssencmode", "krbsrvname", "target_session_attrs"}
)


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """Where the database is, as libpq's parameters; only ``shown`` may be printed."""

    shown: str
    parameters: Mapping[str, str] = field(repr=False)

    def without_secrets(self, text: str) -> str:
        """A server's or a driver's message, without the password should it be in there."""
        password = self.parameters.get("password")
        return text.replace(password, "***") if password else text


def postgres_address(url: str, *, setting: str = "RO_LEDGER_URL") -> PostgresAddress:
    """Read the URL. Raises :class:`SettingsError`, which names the setting and never quotes it."""
    try:
        return _address(url)
    except ValueError as error:
        raise errors.SettingsError(
            f"{setting} is not the address of a PostgreSQL database: {error}.",
            next_step="Use postgresql://user@host:port/database, or ?host=/folder for a socket.",
            setting=setting,
        ) from None


def _address(url: str) -> PostgresAddress:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        options = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError:
        raise ValueError("its host, port or options cannot be read") from None
    database = unquote(parts.path.removeprefix("/"))
    if "\0" in unquote(url):
        raise ValueError("it holds NUL")
    if parts.scheme not in SCHEMES:
        raise ValueError("its scheme is another")
    if parts.fragment or not database or "/" in database:
        raise ValueError(
            "it names no database (in a password, / # ? and @ are written as % escapes)"
        )
    if unknown := sorted(options.keys() - _OPTIONS):
        raise ValueError(f"it has options that are not known here, {', '.join(unknown)}")
    found: dict[str, str | None] = {
        "host": _plain(host),
        "port": None if port is None else str(port),
        "dbname": database,
        "user": _plain(parts.username),
        "password": _plain(parts.password),
        **options,
    }
    parameters = {name: value for name, value in found.items() if value}
    return PostgresAddress(_shown(parameters), parameters)


def _shown(parameters: Mapping[str, str]) -> str:
    host, port = parameters.get("host", ""), parameters.get("port", "")
    place = f"{host}:{port}" if port else host
    return f"postgresql://{place}/{parameters['dbname']}"


def _plain(text: str | None) -> str | None:
    return None if text is None else unquote(text)
