"""Signing in by OpenID Connect against a real, certified provider in a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest

from ro_platform.contracts import EntryKind
from ro_platform.errors import NotAuthenticatedError
from ro_platform.web.oidc import person_of
from ro_platform.web.settings import OidcSettings
from tests.integration.web_world import World, form_token, served_world

PROVIDER = Path(__file__).with_name("oidc_provider")
SECRET = "a-secret-of-the-client-and-the-provider"
CLIENT = OidcSettings("http://127.0.0.1:1", "face", SECRET, "email")


def _installed(folder: Path) -> Path:
    """The provider with its packages, installed once into a folder below that one.

    The folder is there as a whole or not at all: an install that failed, or was killed, leaves
    nothing that the next one would take for done.
    """
    files = sorted(PROVIDER.iterdir())
    digest = sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    done = folder / f"oidc-provider-{digest[:12]}"
    if done.is_dir():
        return done
    with tempfile.TemporaryDirectory(dir=folder, prefix="oidc-provider-") as making:
        made = Path(making) / "made"
        shutil.copytree(PROVIDER, made)
        _npm_install(made)
        with suppress(OSError):  # another worker was first
            made.rename(done)
    return done


def _npm_install(folder: Path) -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        words = "npm and Node.js (18 or later) are needed for the OpenID provider"
        if os.environ.get("RO_REQUIRE_SERVERS"):
            pytest.fail(words)
        pytest.skip(words)
    command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode:
        pytest.fail(f"the OpenID provider could not be installed by npm:\n{ended.stderr[-2000:]}")


def test_an_install_that_fails_says_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One clear failure, and the next time begins anew."""
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\nmkdir node_modules\necho 'no such package' >&2\nexit 1\n")
    npm.chmod(0o755)
    (npm.parent / "node").symlink_to(npm)
    monkeypatch.setenv("PATH", str(npm.parent), prepend=os.pathsep)
    folder = tmp_path / "venv"
    folder.mkdir()
    with pytest.raises(pytest.fail.Exception, match="no such package"):
        _installed(folder)
    assert list(folder.iterdir()) == []


@dataclass(frozen=True)
class Signing:
    """The served gateway and its provider."""

    world: World
    issuer: str


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signing]:
    """A gateway whose people are those of a provider on another port."""
    folder = _installed(Path(sys.prefix))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    issuer = f"http://127.0.0.1:{port}"
    web = {
        "RO_WEB_OIDC_ISSUER": issuer,
        "RO_WEB_OIDC_CLIENT_ID": "face",
        "RO_WEB_OIDC_CLIENT_SECRET": SECRET,
    }
    with served_world(tmp_path_factory.mktemp("signed"), web=web) as world:
        callback = f"{world.address}/signin/callback"
        with subprocess.Popen(
            ["node", "server.mjs", str(port), callback], cwd=folder, stdout=subprocess.PIPE
        ) as provider:
            assert provider.stdout is not None
            assert provider.stdout.readline() == b"ready\n"
            yield Signing(world, issuer)
            provider.terminate()


def _to_provider(signing: Signing, browser: httpx.Client) -> str:
    """From the gateway's page to the provider; the address that the browser is sent to."""
    token = form_token(browser.get("/signin", params={"next": "/runs"}).text)
    answer = browser.post(
        "/signin/oidc", data={"form_token": token}, headers={"Origin": signing.world.address}
    )
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def _through_provider(address: str, person: str) -> str:
    """Sign in there as that person, consent, and come back with the callback's address."""
    with httpx.Client(timeout=20) as client:
        answer = client.get(address)
        for _ in range(12):
            if "location" in answer.headers:
                address = urljoin(str(answer.url), answer.headers["location"])
                if "/signin/callback" in address:
                    return address
                answer = client.get(address)
                continue
            form = re.search(r'<form[^>]*action="([^"]+)"', answer.text)
            assert form is not None, answer.text
            login = "login" in re.findall(r'name="prompt" value="(\w+)"', answer.text)
            data = {"prompt": "login", "login": person, "password": "x"}
            answer = client.post(
                urljoin(str(answer.url), unescape(form.group(1))),
                data=data if login else {"prompt": "consent"},
            )
    raise AssertionError("the provider never sent the browser back")


def test_a_person_signs_in_by_the_provider(signing: Signing) -> None:
    """By code flow with PKCE, state and nonce; the claim names the person, the policy the role."""
    with signing.world.client() as browser:
        address = _to_provider(signing, browser)
        asked = parse_qs(urlsplit(address).query)
        assert asked["response_type"] == ["code"]
        assert asked["code_challenge_method"] == ["S256"]
        assert asked["state"]
        assert asked["nonce"]
        answer = browser.get(_through_provider(address, "reader"))
        assert (answer.status_code, answer.headers["location"]) == (303, "/runs"), answer.text
        page = browser.get("/", headers={"Accept": "text/html"})
        assert "HUMAN::reader" in page.text
        refused = browser.post(
            "/graphql",
            json={"query": "mutation { reloadWorkspace { __typename } }"},
            headers={"Origin": signing.world.address},
        )
        assert "HUMAN::reader may not" in refused.text


def test_somebody_whom_the_policy_does_not_know_sees_nothing(signing: Signing) -> None:
    """The provider says who, and never what they may do."""
    with signing.world.client() as browser:
        back = _through_provider(_to_provider(signing, browser), "stranger")
        assert browser.get(back).status_code == 303
        shown = browser.get("/", headers={"Accept": "text/html"})
        assert shown.status_code == 403
        assert "HUMAN::stranger" in shown.text


def test_an_answer_is_taken_once_from_the_browser_that_asked(signing: Signing) -> None:
    """Not from another browser, not twice, and not with another state or code."""
    with signing.world.client() as browser, signing.world.client() as other:
        back = _through_provider(_to_provider(signing, browser), "reader")
        assert other.get(back).status_code == 401
        parts = parse_qs(urlsplit(back).query)
        code, state = parts["code"][0], parts["state"][0]
        for said in ({"code": code, "state": "x"}, {"code": code}, {"error": "access_denied"}):
            assert browser.get("/signin/callback", params=said).status_code == 401
        assert browser.get(back).status_code == 303
        assert browser.get(back).status_code == 401
        again = {"code": code, "state": state}
        assert other.get("/signin/callback", params=again).status_code == 401
    entries = signing.world.plane.ledger.scan(kind=EntryKind.ACCESS_REFUSED)
    assert any(entry.body["operation"] == "sign-in" for entry in entries)


FORGED: Mapping[str, Mapping[str, object]] = {
    "another issuer": {"iss": "https://evil.example"},
    "another audience": {"aud": "another"},
    "expired": {"exp": 1_000_000_000},
    "no nonce": {"nonce": None},
    "another nonce": {"nonce": "x"},
    "no subject": {"sub": None},
}


@pytest.mark.parametrize("changes", FORGED.values(), ids=FORGED.keys())
def test_an_id_token_that_is_not_for_this_sign_in_is_refused(
    signing: Signing, changes: Mapping[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signed by the provider's own key all the same: each claim is checked by the library."""
    from joserfc import jwt

    real = jwt.decode

    def decode(*args: object, **options: object) -> object:
        token = real(*args, **options)  # type: ignore[arg-type]
        for name, value in changes.items():
            token.claims.pop(name) if value is None else token.claims.__setitem__(name, value)
        return token

    with signing.world.client() as browser:
        back = _through_provider(_to_provider(signing, browser), "reader")
        monkeypatch.setattr(jwt, "decode", decode)
        assert browser.get(back).status_code == 401
        assert "ro_session" not in browser.cookies


def test_a_provider_that_is_away_is_said_to_be(signing: Signing) -> None:
    """The page says so, and a token still signs in."""
    web = {
        "RO_WEB_OIDC_ISSUER": "http://127.0.0.1:9",
        "RO_WEB_OIDC_CLIENT_ID": "face",
        "RO_WEB_OIDC_CLIENT_SECRET": SECRET,
    }
    assert signing.issuer
    with served_world(signing.world.root / "away", web=web) as away, away.client() as browser:
        token = form_token(browser.get("/signin").text)
        headers = {"Origin": away.address}
        answer = browser.post("/signin/oidc", data={"form_token": token}, headers=headers)
        assert answer.status_code == 401
        assert "identity provider" in answer.text
        data = {"form_token": form_token(answer.text), "token": away.tokens["HUMAN::reader"]}
        assert browser.post("/signin", data=data, headers=headers).status_code == 303


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "reader"},
        {"email": ""},
        {"email": 3},
        {"email": "a@example.org"},
        {"email": "a@example.org", "email_verified": "true"},
        {"email": "a b", "email_verified": True},
        {"email": "x::y", "email_verified": True},
    ],
)
def test_a_claim_that_names_nobody_for_certain_is_refused(claims: dict[str, object]) -> None:
    """Absent, empty, not verified, or no id of a person."""
    with pytest.raises(NotAuthenticatedError):
        person_of(claims, CLIENT)


def test_a_verified_claim_names_the_person() -> None:
    """As HUMAN::id."""
    claims = {"email": "a@example.org", "email_verified": True}
    assert person_of(claims, CLIENT) == "HUMAN::a@example.org"
