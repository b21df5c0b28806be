"""Settings, sessions and refusals of the gateway, by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import URLSafeSerializer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Scope

from ro_platform.access.policy import Access
from ro_platform.access.tokens import Tokens
from ro_platform.config.settings import Settings
from ro_platform.contracts import EntryKind
from ro_platform.errors import NotAuthenticatedError, RequestRefusedError, SettingsError
from ro_platform.kernel.clock import ManualClock
from ro_platform.ledger.backends.memory import MemoryLedgerBackend
from ro_platform.ledger.log import Ledger
from ro_platform.web.authentication import Authenticator, Sessions
from ro_platform.web.messages import peer_of, require_own_page, require_plain_path
from ro_platform.web.refusals import Refusals, RefusedRequest
from ro_platform.web.settings import WebSettings, is_loopback
from ro_platform.web.signin import SignIn, local_path

SECRET = "s" * 32
START = datetime(2030, 1, 1, 12, 0, 30, tzinfo=UTC)


def web(
    host: str = "127.0.0.1", environment: Mapping[str, str] | None = None, *, port: int = 3000
) -> WebSettings:
    """The settings of a gateway that listens there."""
    settings = Settings.load({"RO_ROOT": "/srv", **(environment or {})}, cwd=Path("/"))
    return WebSettings.of(settings, host=host, port=port)


# --- settings ------------------------------------------------------------------------------------


def test_on_loopback_the_face_is_its_own_origin() -> None:
    """By each of the machine's names for itself, at that port, and without TLS."""
    found = web(port=4000)
    assert found.origins == {f"http://{n}:4000" for n in ("127.0.0.1", "localhost", "[::1]")}
    assert found.hosts == {f"{n}:4000" for n in ("127.0.0.1", "localhost", "[::1]")}
    assert not found.secure
    assert is_loopback(found.host)


def test_for_others_the_face_is_the_address_with_tls() -> None:
    """One origin only, and cookies that travel by TLS only."""
    found = web("0.0.0.0", {"RO_UI_URL": "https://ro.example/"})
    assert found.origins == {"https://ro.example"}
    assert found.secure
    assert found.hosts == {"ro.example"}


CONTRADICTIONS = {
    "no TLS": ("0.0.0.0", {"RO_UI_URL": "http://ro.example"}),
    "no address": ("0.0.0.0", {}),
    "a misspelling": ("127.0.0.1", {"RO_WEB_PROXY_PEER": "127.0.0.1"}),
    "an issuer without TLS": ("127.0.0.1", {"RO_WEB_OIDC_ISSUER": "http://idp.example"}),
    "an issuer without a client": ("127.0.0.1", {"RO_WEB_OIDC_ISSUER": "https://idp.example"}),
    "a proxy without a secret": ("127.0.0.1", {"RO_WEB_PROXY_PEERS": "127.0.0.1"}),
    "a secret without a proxy": ("127.0.0.1", {"RO_WEB_PROXY_SECRET": SECRET}),
    "a short secret": (
        "127.0.0.1",
        {"RO_WEB_PROXY_PEERS": "127.0.0.1", "RO_WEB_PROXY_SECRET": "short"},
    ),
    "a proxy by name": (
        "127.0.0.1",
        {"RO_WEB_PROXY_PEERS": "proxy.example", "RO_WEB_PROXY_SECRET": SECRET},
    ),
    "a session without end": ("127.0.0.1", {"RO_WEB_SESSION_HOURS": "0"}),
    "a session of no number": ("127.0.0.1", {"RO_WEB_SESSION_HOURS": "eight"}),
}


@pytest.mark.parametrize(
    ("host", "environment"), CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys()
)
def test_settings_that_cannot_be_meant_are_refused(host: str, environment: dict[str, str]) -> None:
    """When the gateway starts, and not when somebody is let in by mistake."""
    with pytest.raises(SettingsError):
        web(host, environment)


def test_settings_do_not_show_their_secrets() -> None:
    """Neither those of the gateway, nor the deployment's that hold them."""
    environment = {
        "RO_WEB_PROXY_PEERS": "127.0.0.1",
        "RO_WEB_PROXY_SECRET": SECRET,
        "RO_WEB_OIDC_ISSUER": "https://idp.example",
        "RO_WEB_OIDC_CLIENT_ID": "face",
        "RO_WEB_OIDC_CLIENT_SECRET": SECRET,
    }
    assert SECRET not in repr(web(environment=environment))
    assert SECRET not in repr(Settings.load({"RO_ROOT": "/srv", **environment}, cwd=Path("/")))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "", "localhost.x"])
def test_only_this_machine_is_loopback(host: str) -> None:
    """An address that others can reach is none, whatever it is called."""
    assert not is_loopback(host)
    assert is_loopback("127.0.0.1")
    assert is_loopback("[::1]")


# --- sessions ------------------------------------------------------------------------------------


class Signed:
    """Sessions over a clock that stands still."""

    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.ledger = Ledger(MemoryLedgerBackend(), self.clock)
        self.sessions = self.under(b"k" * 32)

    def under(self, key: bytes) -> Sessions:
        """Sessions of another process, perhaps with another key."""
        return Sessions(
            self.ledger, lambda: key, self.clock, lifetime=timedelta(hours=8), secure=True
        )


def test_a_session_lasts_its_time_and_not_longer() -> None:
    """By the injected clock, also in another process with the same key."""
    signed = Signed()
    cookie = signed.sessions.open("HUMAN::a", None)
    signed.clock.advance(8 * 3600 - 1)
    assert signed.under(b"k" * 32).read(cookie).actor == "HUMAN::a"
    signed.clock.advance(1)
    with pytest.raises(NotAuthenticatedError):
        signed.sessions.read(cookie)


def test_a_session_of_another_key_or_another_form_is_none() -> None:
    """Nobody makes one without the access key, and the signature covers the purpose."""
    signed = Signed()
    cookie = signed.sessions.open("HUMAN::a", None)
    for bad in (
        signed.under(b"x" * 32).open("HUMAN::a", None),
        str(URLSafeSerializer(b"k" * 32, salt="ro/session/v0").dumps({"actor": "HUMAN::a"})),
        cookie[:-1],
        cookie.split(".")[0],
        "",
    ):
        with pytest.raises(NotAuthenticatedError):
            signed.sessions.read(bad)


@given(st.integers(0, 400), st.characters(codec="ascii"))
def test_no_changed_character_of_a_cookie_is_taken(place: int, character: str) -> None:
    """Whatever is changed, it is nobody's, or still says the same."""
    signed = Signed()
    cookie = signed.sessions.open("HUMAN::a", None)
    at = place % len(cookie)
    changed = cookie[:at] + character + cookie[at + 1 :]
    before = signed.sessions.read(cookie)
    try:
        assert signed.sessions.read(changed) == before
    except NotAuthenticatedError:
        assert changed != cookie


def test_a_session_that_was_ended_stays_ended() -> None:
    """On record, so for every process, and again is the same."""
    signed = Signed()
    cookie = signed.sessions.open("HUMAN::a", None)
    session = signed.sessions.read(cookie)
    for _ in range(2):
        signed.sessions.end(session.session_id, "HUMAN::a")
    with pytest.raises(NotAuthenticatedError):
        signed.under(b"k" * 32).read(cookie)
    assert len(list(signed.ledger.scan(kind=EntryKind.TOKEN_REVOKED))) == 1


def test_a_form_belongs_to_one_session() -> None:
    """Its token is another for each, and cannot be made without the key."""
    signed = Signed()
    one, other = signed.sessions.form_token("1" * 32), signed.sessions.form_token("2" * 32)
    assert signed.sessions.is_form_token("1" * 32, one)
    assert not signed.sessions.is_form_token("1" * 32, other)
    assert not signed.under(b"x" * 32).is_form_token("1" * 32, one)


# --- refusals ------------------------------------------------------------------------------------


def refusal(operation: str = "launchRun", actor: str | None = "HUMAN::a") -> RefusedRequest:
    """Something that was refused."""
    return RefusedRequest(actor, "192.0.2.1", operation, "RO_ACCESS_DENIED", "not allowed")


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 50)), max_size=40))
def test_each_refusal_is_counted_once_and_a_minute_holds_two_entries_at_most(
    moves: list[tuple[str, int]],
) -> None:
    """The counts on record add up to what was refused, however it is spread over time."""
    clock = ManualClock(START)
    ledger = Ledger(MemoryLedgerBackend(), clock)
    refusals = Refusals(ledger, clock)
    minutes = set()
    for operation, seconds in moves:
        clock.advance(seconds)
        minutes.add((operation, clock().replace(second=0)))
        refusals.record(refusal(operation))
    refusals.flush()
    entries = list(ledger.scan(kind=EntryKind.ACCESS_REFUSED))
    assert sum(int(str(entry.body["count"])) for entry in entries) == len(moves)
    assert len(entries) <= 2 * len(minutes)


def test_the_first_refusal_is_on_record_at_once() -> None:
    """A crash later does not lose that it happened."""
    clock = ManualClock(START)
    ledger = Ledger(MemoryLedgerBackend(), clock)
    Refusals(ledger, clock).record(refusal())
    (entry,) = ledger.scan(kind=EntryKind.ACCESS_REFUSED)
    assert (entry.actor, entry.subject) == ("HUMAN::a", "access/HUMAN::a")


def test_a_flood_of_different_refusals_has_a_limit() -> None:
    """A stranger is one kind, whatever they ask for, and strangers are at most twenty a minute; an
    actor's are at most a hundred. What exceeds that is counted under one."""
    for actor, sources, most in ((None, 1, 2), (None, 1000, 42), ("HUMAN::a", 1, 202)):
        clock = ManualClock(START)
        ledger = Ledger(MemoryLedgerBackend(), clock)
        refusals = Refusals(ledger, clock)
        for number in range(1000):
            one = refusal(f"made-up {number}", actor)
            refusals.record(replace(one, source=f"peer {number % sources}"))
        refusals.flush()
        entries = list(ledger.scan(kind=EntryKind.ACCESS_REFUSED))
        assert len(entries) <= most
        assert sum(int(str(entry.body["count"])) for entry in entries) == 1000
        assert {entry.actor for entry in entries} == {actor or "SYSTEM::web"}


def test_to_try_to_sign_in_is_told_apart_from_other_requests() -> None:
    """Whoever looks for guessed tokens finds them, also amid a flood from the same address."""
    clock = ManualClock(START)
    ledger = Ledger(MemoryLedgerBackend(), clock)
    refusals = Refusals(ledger, clock)
    for operation in ("GET.a", "GET.b", "sign-in", "forged.header", "sign-in"):
        refusals.record(refusal(operation, None))
    refusals.flush()
    entries = ledger.scan(kind=EntryKind.ACCESS_REFUSED)
    counted = [(entry.body["operation"], entry.body["count"]) for entry in entries]
    assert counted == [
        ("GET.a", 1),
        ("sign-in", 1),
        ("forged.header", 1),
        ("GET.a", 1),
        ("sign-in", 1),
    ]


def test_what_a_stranger_sent_cannot_spoil_the_record() -> None:
    """Control characters and half characters are shown as such."""
    clock = ManualClock(START)
    ledger = Ledger(MemoryLedgerBackend(), clock)
    words = "a\x00b\x1b[31m\ud800"
    Refusals(ledger, clock).record(replace(refusal(), why=words))
    (entry,) = ledger.scan(kind=EntryKind.ACCESS_REFUSED)
    assert entry.body["reason"] == "a\ufffdb\ufffd[31m\ufffd"


# --- messages ------------------------------------------------------------------------------------


@given(st.sampled_from(["//", "%2f", "%2F", ";", "\\", "%5c", "%00", "%25", "/../", "/%2E%2e/"]))
def test_a_path_with_a_second_reading_is_refused(trick: str) -> None:
    """Wherever the trick stands in it."""
    for path in (f"/a{trick}b", f"/{trick}", f"/a/b{trick}"):
        raw = path.encode()
        scope: Scope = {"path": path, "raw_path": raw, "query_string": b""}
        with pytest.raises(RequestRefusedError):
            require_plain_path(scope)


def test_a_page_of_our_own_is_known_by_its_origin_or_by_fetch_metadata() -> None:
    """One of the two must say so, and neither may say otherwise."""
    own = web()
    require_own_page(Headers({"origin": "http://127.0.0.1:3000"}), own)
    require_own_page(Headers({"sec-fetch-site": "same-origin"}), own)
    for headers in ({}, {"sec-fetch-site": "none"}, {"origin": "http://127.0.0.1:3001"}):
        with pytest.raises(RequestRefusedError):
            require_own_page(Headers(headers), own)


@given(st.text(max_size=30))
def test_what_to_show_next_is_always_a_path_here(text: str) -> None:
    """Nothing that a browser would take for another host."""
    found = local_path(text)
    assert found == "" or (found.startswith("/") and not found.startswith(("//", "/\\")))


def test_an_ipv4_peer_is_one_however_the_socket_writes_it() -> None:
    """A named proxy is known on a socket that listens for IPv4 and IPv6 as well."""
    said = ["::ffff:192.0.2.1", "192.0.2.1", "2001:db8::1", "a-socket"]
    found = [peer_of({"client": (address, 1)}) for address in said]
    assert found == ["192.0.2.1", "192.0.2.1", "2001:db8::1", "a-socket"]
    assert peer_of({"client": None}) == "unknown"


async def _shown(app: ASGIApp, address: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url=address) as client:
        return await client.get("/signin")


@pytest.mark.parametrize("public", ["https://ui.example", "http://127.0.0.1:3000"])
def test_by_tls_every_cookie_is_this_hosts_own(public: str) -> None:
    """Also the one of a sign-in that is under way: a neighbour could plant its own otherwise."""
    signed = Signed()
    settings = replace(web(), public=public)
    access = Access(lambda: None, environment="e", single_user="HUMAN::me")
    tokens = Tokens(signed.ledger, lambda: b"k" * 32, ManualClock(START), access)
    visitors = Authenticator(tokens, access, signed.sessions, None, "the-local-key")
    shown = SignIn(visitors, signed.sessions, settings, lambda *_: None, None)
    said = asyncio.run(_shown(shown.app(), public)).headers["set-cookie"].lower()
    assert said.startswith("__host-ro_signin=") is settings.secure
    assert ("secure" in said and "path=/;" in said) is settings.secure
    assert "httponly" in said
