"""Attacks on the gateway, over real HTTP and websockets: each is refused, and each is on record."""

from __future__ import annotations

import ast
import http.client
import inspect
import json
import textwrap
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from ro_platform.access.tokens import Tokens
from ro_platform.contracts import EntryKind
from ro_platform.web.authentication import Authenticator, Sessions
from tests.integration.web_world import LAUNCH, PROXY_SECRET, World, form_token, served_world

WIPE = "mutation { wipeAssets(assetPartitionRanges: []) { __typename } }"
RELOAD = "mutation { reloadWorkspace { __typename } }"
SOCKET = Subprotocol("graphql-ws")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One deployment for all attacks, with a named proxy on another address than ours."""
    proxy = {"RO_WEB_PROXY_PEERS": "192.0.2.1", "RO_WEB_PROXY_SECRET": PROXY_SECRET}
    with served_world(tmp_path_factory.mktemp("attacked"), web=proxy) as served:
        yield served


@pytest.fixture(autouse=True)
def _refused_and_recorded(world: World) -> Iterator[None]:
    """Around every attack: something more is on record as refused, and nothing was launched."""
    before, launched = sum(item["count"] for item in world.refusals()), world.submitted()
    yield
    assert sum(item["count"] for item in world.refusals()) > before
    assert world.submitted() == launched


# --- who -----------------------------------------------------------------------------------------

PATHS = ["/", "/runs", "/graphql", "/server_info", "/dagit_info", "/favicon.png", "/robots.txt"]
PATHS += ["/logs/x.err", "/download_debug/x", "/notebook", "/operations", "/signout", "/_next/x"]


@pytest.mark.parametrize("path", PATHS)
def test_without_a_token_nothing_is_reached(world: World, path: str) -> None:
    """Not a page, not a file, not the version; the answer does not even differ."""
    with world.client() as client:
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
            answer = client.request(method, path)
            assert answer.status_code == 401
            assert answer.text in ("Not authenticated.", "")
            assert "1.13" not in str(answer.headers)


def test_a_page_leads_to_the_sign_in_and_says_nothing_else(world: World) -> None:
    """A browser is sent to sign in, where the page names no product and no version."""
    with world.client() as client:
        answer = client.get("/runs", headers={"Accept": "text/html"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/signin?next=/runs")
        page = client.get("/signin").text
        assert "agster" not in page
        assert client.get("/healthz").content == b""
        assert client.get("/").status_code == 401


def _forgeries(world: World) -> dict[str, str]:
    good = world.tokens["HUMAN::operator"]
    return {
        "no token": "x",
        "another's secret": good[:37] + world.tokens["HUMAN::reader"][37:],
        "an unknown id": "ro1_" + "0" * 32 + good[36:],
        "one character": good[:-1] + ("A" if good[-1] != "A" else "B"),
        "cut": good[:-1],
        "longer": good + "A",
        "the verifier": "ro1_" + "0" * 32 + "_" + "0" * 43,
        "the key of the sign-in link": world.opened.local_key,
    }


def test_a_forged_token_is_nobodys(world: World) -> None:
    """Whatever was changed about it, and also the local key, now that there is a policy."""
    for name, text in _forgeries(world).items():
        with world.client(headers={"Authorization": f"Bearer {text}"}) as client:
            assert client.post("/graphql", json={"query": "{version}"}).status_code == 401, name


@pytest.mark.parametrize("header", ["Basic cm86cm8=", "Bearer", "ro1_x", "Bearer a, Bearer b"])
def test_another_scheme_is_not_taken(world: World, header: str) -> None:
    """Only one bearer token."""
    with world.client(headers={"Authorization": header}) as client:
        assert client.get("/server_info").status_code == 401


def test_two_authorizations_are_none(world: World) -> None:
    """A proxy in between could have looked at the other one."""
    good = f"Bearer {world.tokens['HUMAN::reader']}"
    headers = [("Authorization", good), ("Authorization", good)]
    answer = httpx.get(f"{world.address}/server_info", headers=headers)
    assert answer.status_code == 401


def test_an_expired_token_is_refused(world: World) -> None:
    """By the plane's clock, at the moment it expires."""
    issued = world.plane.tokens.issue(
        "HUMAN::reader", lifetime=timedelta(milliseconds=1), reason="test", actor="HUMAN::admin"
    )
    with world.client(headers={"Authorization": f"Bearer {issued.text}"}) as client:
        assert client.get("/server_info").status_code == 401


def test_a_revoked_token_ends_its_sessions_and_sockets_at_once(world: World) -> None:
    """The token itself, the browser that signed in with it, and what streams to it."""
    issued = world.plane.tokens.issue(
        "HUMAN::leaving", lifetime=timedelta(days=1), reason="test", actor="HUMAN::admin"
    )
    world.tokens["HUMAN::leaving"] = issued.text
    browser = world.browser("HUMAN::leaving")
    assert browser.get("/server_info").status_code == 200
    with _socket(world, "HUMAN::leaving") as socket:
        world.plane.tokens.revoke(issued.token_id, reason="left", actor="HUMAN::admin")
        socket.send(json.dumps({"type": "start", "id": "1", "payload": {"query": _LOGS}}))
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=10)
    assert browser.get("/server_info").status_code == 401
    with world.client("HUMAN::leaving") as client:
        assert client.get("/server_info").status_code == 401


def test_a_cookie_that_was_changed_or_made_up_is_nobodys(world: World) -> None:
    """The signature covers all of it."""
    browser = world.browser("HUMAN::reader")
    name = "ro_session"
    good = browser.cookies[name]
    payload, _, signature = good.rpartition(".")
    for bad in (payload, f"{payload}.", f"{payload}x.{signature}", f"e30.{signature}", "x.y.z"):
        with world.client(headers={"Cookie": f"{name}={bad}"}) as client:
            assert client.get("/server_info").status_code == 401
    assert browser.get("/server_info").status_code == 200


def test_a_session_that_signed_out_is_over_for_copies_of_its_cookie_too(world: World) -> None:
    """Signing out is on record, and not only a cookie that one browser forgot."""
    browser = world.browser("HUMAN::reader")
    copy = browser.cookies["ro_session"]
    token = form_token(browser.get("/signout").text)
    assert browser.post("/signout", data={"form_token": token}).status_code == 303
    with world.client(headers={"Cookie": f"ro_session={copy}"}) as client:
        assert client.get("/server_info").status_code == 401


def test_a_forged_proxy_header_names_nobody(world: World) -> None:
    """Not without the secret, not with it from another address, and not beside a good token."""
    named = {"X-Forwarded-User": "admin"}
    for headers in (named, {**named, "X-RO-Proxy-Secret": PROXY_SECRET}):
        with world.client(headers=headers) as client:
            assert client.get("/server_info").status_code == 401
    with world.client("HUMAN::reader", headers=named) as client:
        answer = client.post("/graphql", json={"query": RELOAD})
        assert "HUMAN::reader may not" in answer.text
    assert any(item["operation"] == "forged.header" for item in world.refusals())


def test_who_is_authenticated_and_has_no_role_sees_nothing(world: World) -> None:
    """Deny by default."""
    with world.client("HUMAN::nobody") as client:
        assert client.get("/server_info").status_code == 403
        assert client.post("/graphql", json={"query": "{version}"}).status_code == 403


def test_a_bad_token_at_the_sign_in_page_is_recorded_by_its_source(world: World) -> None:
    """The page says no, keeps no cookie, and the record has the address and not the token."""
    with world.client(headers={"Origin": world.address}) as client:
        token = form_token(client.get("/signin").text)
        data = {"form_token": token, "token": "ro1_guess"}
        answer = client.post("/signin", data=data)
        assert answer.status_code == 401
        assert "ro_session" not in client.cookies
    found = [item for item in world.refusals() if item["operation"] == "sign-in"]
    assert found[-1]["source"] == "127.0.0.1"
    assert "ro1_guess" not in json.dumps([e.to_json_value() for e in world.plane.ledger.scan()])


# --- what ----------------------------------------------------------------------------------------

HIDDEN = {
    "plainly": {"query": RELOAD},
    "by alias": {"query": "mutation { version: reloadWorkspace { __typename } }"},
    "by fragment": {
        "query": "mutation { ...F } fragment F on Mutation { reloadWorkspace { __typename } }"
    },
    "by inline fragment": {
        "query": "mutation { ... on Mutation { ... { reloadWorkspace { __typename } } } }"
    },
    "by operation name": {
        "query": f"query A {{ version }} mutation B {{ {RELOAD[10:]}",
        "operationName": "A",
    },
    "by directive": {
        "query": "mutation($s: Boolean!) { reloadWorkspace @include(if: $s) { __typename } }",
        "variables": {"s": True},
    },
    "in a batch": [{"query": "{version}"}, {"query": RELOAD}],
    "unknown": {"query": "mutation { aMutationOfTomorrow }"},
    "forging a PASS": {
        "query": "mutation($p: ReportAssetCheckEvaluationsParams!) "
        "{ reportAssetCheckEvaluations(eventParams: $p) { __typename } }",
        "variables": {"p": {}},
    },
}


@pytest.mark.parametrize("body", HIDDEN.values(), ids=HIDDEN.keys())
def test_a_hidden_mutation_is_refused(world: World, body: Any) -> None:
    """However it is written, a reader's mutation is not executed."""
    with world.client("HUMAN::reader") as client:
        answer = client.post("/graphql", json=body)
    assert answer.status_code in (400, 403)
    assert "data" not in answer.json() or answer.json()["data"] is None


def test_a_mutation_by_get_is_refused(world: World) -> None:
    """For everybody, also with the accept header of a browser, also encoded."""
    with world.client("HUMAN::deployer") as client:
        for accept in ("application/json", "text/html"):
            answer = client.get("/graphql", params={"query": RELOAD}, headers={"Accept": accept})
            assert answer.status_code == 405
        assert client.get("/graphql?query=%7Bversion%7D&query=x").status_code == 400


BODIES = {
    "form": ("application/x-www-form-urlencoded", f"query={RELOAD}"),
    "multipart": (
        "multipart/form-data; boundary=x",
        f'--x\r\ncontent-disposition: form-data; name="query"\r\n\r\n{RELOAD}\r\n--x--\r\n',
    ),
    "text": ("text/plain", json.dumps({"query": RELOAD})),
    "json that is called text": ("text/plain; application/json", json.dumps({"query": RELOAD})),
    "no type": ("", json.dumps({"query": RELOAD})),
    "no json": ("application/json", "{"),
}


@pytest.mark.parametrize(("media", "body"), BODIES.values(), ids=BODIES.keys())
def test_a_body_that_a_foreign_form_could_send_is_refused(
    world: World, media: str, body: str
) -> None:
    """Even by somebody who might do what it asks."""
    with world.client("HUMAN::deployer", headers={"Content-Type": media}) as client:
        assert client.post("/graphql", content=body).status_code in (400, 415)
        assert client.post(f"/graphql?query={RELOAD}", content=body).status_code in (400, 415)


def test_an_address_that_says_something_else_than_the_body_is_refused(world: World) -> None:
    """What was judged is what is executed."""
    with world.client("HUMAN::deployer") as client:
        answer = client.post(f"/graphql?query={RELOAD}", json={"query": "{version}"})
        assert answer.status_code == 400


@pytest.mark.parametrize("kind", ["check", "materialization", "observation"])
def test_nobody_reports_an_event_by_an_endpoint(world: World, kind: str) -> None:
    """Dagster's REST endpoints for events are closed for every role."""
    for actor in ("HUMAN::operator", "HUMAN::admin", "HUMAN::deployer"):
        with world.client(actor) as client:
            path = f"/report_asset_{kind}/numbers"
            assert client.post(path, json={"passed": True}).status_code == 405
            assert client.post(f"{path}?check_name=x&passed=true").status_code == 405


def test_forged_tags_reach_neither_the_run_nor_the_coordinator(world: World) -> None:
    """A query that names them is refused; see the gateway's tests for those in variables."""
    tags = '[{key: "ro/actor", value: "HUMAN::admin"}]'
    query = "mutation { launchRun(executionParams: {selector: {repositoryLocationName: "
    query += f'"small", repositoryName: "__repository__"}}, executionMetadata: {{tags: {tags}}}}}) '
    answer = world.graphql("HUMAN::operator", f"{query} {{ __typename }} }}")
    assert answer.status_code == 403
    assert "only the server sets" in answer.text


def test_a_launch_is_refused_to_a_reader_and_to_a_role_of_elsewhere(world: World) -> None:
    """By operation, and by scope."""
    for actor in ("HUMAN::reader", "HUMAN::elsewhere", "HUMAN::admin"):
        answer = world.graphql(actor, LAUNCH, {"executionParams": world.launch_params()})
        assert answer.status_code == 403
        assert answer.json()["errors"][0]["extensions"]["code"] == "RO_ACCESS_DENIED"


# --- from where ----------------------------------------------------------------------------------

FOREIGN = {
    "another origin": {"Origin": "https://evil.example"},
    "no origin": {},
    "null": {"Origin": "null"},
    "another port": {"Origin": "http://127.0.0.1:1"},
    "a name that begins alike": {"Origin": "http://127.0.0.1.evil.example"},
    "two origins": {"Origin": "http://127.0.0.1, https://evil.example"},
    "fetch metadata": {"Sec-Fetch-Site": "cross-site"},
    "same site": {"Sec-Fetch-Site": "same-site"},
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN.keys())
def test_another_sites_page_cannot_act_with_somebodys_cookie(
    world: World, headers: dict[str, str]
) -> None:
    """Cross-site request forgery, by every header that a browser could send."""
    cookie = {"Cookie": f"ro_session={world.browser('HUMAN::deployer').cookies['ro_session']}"}
    with world.client(headers={**cookie, **headers}) as client:
        answer = client.post("/graphql", json={"query": RELOAD})
        assert answer.status_code == 403
        assert client.post("/signout").status_code == 403


def test_a_form_without_its_token_is_refused(world: World) -> None:
    """Also from a page of our own origin: a form that was shown to somebody else is not ours."""
    browser, other = world.browser("HUMAN::reader"), world.browser("HUMAN::operator")
    theirs = form_token(other.get("/signout").text)
    for data in ({}, {"form_token": ""}, {"form_token": "x"}, {"form_token": theirs}):
        assert browser.post("/signout", data=data).status_code == 403
    assert browser.get("/server_info").status_code == 200
    with world.client(headers={"Origin": world.address}) as client:
        data = {"form_token": "x", "token": world.tokens["HUMAN::reader"]}
        assert client.post("/signin", data=data).status_code == 403


def test_another_host_name_is_not_served(world: World) -> None:
    """A name that an attacker points at this machine is no origin of the gateway."""
    for host in ("evil.example", f"evil.example:{world.port}", "127.0.0.1"):
        with world.client("HUMAN::reader", headers={"Host": host}) as client:
            assert client.get("/server_info").status_code == 421
            assert client.get("/signin").status_code == 421


TRICKS = ["//graphql", "/./server_info", "/x/../server_info", "/%2e%2e/server_info", "/a;b/graphql"]
TRICKS += [
    "/%2fgraphql",
    "/graphql%2f",
    "/report_asset_check%2Fnumbers",
    "/\\graphql",
    "/%5cgraphql",
]
TRICKS += ["/logs/../../../etc/passwd", "/logs/%2e%2e/x.err", "/signin/../server_info", "/%00"]
TRICKS += ["/healthz/../server_info", "/signin%2f..%2fgraphql", "/%252e%252e/x", "/signin;/x"]
TRICKS += ["/%5cgraphql"]


@pytest.mark.parametrize("path", TRICKS)
def test_no_spelling_of_a_path_goes_around_the_check(world: World, path: str) -> None:
    """The check is before routing, so nobody gets past it and somebody is refused as well."""
    for actor, expected in ((None, {400}), ("HUMAN::operator", {400})):
        connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=20)
        headers = {"Host": f"127.0.0.1:{world.port}"}
        if actor:
            headers["Authorization"] = f"Bearer {world.tokens[actor]}"
        connection.putrequest("POST", path, skip_host=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        assert connection.getresponse().status in expected
        connection.close()


# --- how much ------------------------------------------------------------------------------------

HEAVY = {
    "deep": "{" + "a{" * 3000 + "b" + "}" * 3000 + "}",
    "wide": "{" + "version " * 30_000 + "}",
    "aliases": "{" + " ".join(f"a{n}: version" for n in range(500)) + "}",
    "long": "{version}" + "#" * 200_000,
    "fragments": "{...F0}"
    + "".join(f"fragment F{n} on Query{{...F{n + 1} ...F{n + 1}}}" for n in range(30))
    + "fragment F30 on Query{version}",
    "a circle": "{...A} fragment A on Query{...B} fragment B on Query{...A}",
}


@pytest.mark.parametrize("query", HEAVY.values(), ids=HEAVY.keys())
def test_a_query_that_costs_too_much_is_refused(world: World, query: str) -> None:
    """Depth, width, aliases, length and what multiplies itself."""
    assert world.graphql("HUMAN::reader", query).status_code in (400, 413)


def test_a_body_that_is_too_large_is_refused_however_it_is_sent(world: World) -> None:
    """Said to be large, or sent in chunks without saying."""
    heavy = b'{"query": "' + b"x" * (5 << 20) + b'"}'
    headers = {"Content-Type": "application/json"}
    with world.client("HUMAN::reader", headers=headers) as client:
        assert client.post("/graphql", content=heavy).status_code == 413
        chunks = (heavy[start : start + 65536] for start in range(0, len(heavy), 65536))
        assert client.post("/graphql", content=chunks).status_code == 413
        packed = client.post("/graphql", content=b"x", headers={"Content-Encoding": "gzip"})
        assert packed.status_code == 415


# --- websockets ----------------------------------------------------------------------------------

_LOGS = 'subscription { pipelineRunLogs(runId: "x") { __typename } }'


def _socket(world: World, actor: str | None, **headers: str) -> Any:
    said = {**headers}
    if actor:
        said["Authorization"] = f"Bearer {world.tokens[actor]}"
    address = f"ws://127.0.0.1:{world.port}/graphql"
    return connect(address, subprotocols=[SOCKET], additional_headers=said)


def test_a_websocket_without_a_token_is_not_opened(world: World) -> None:
    """Nor with a bad one, nor for somebody without a role, nor at another path."""
    for actor, headers in ((None, {}), (None, {"Authorization": "Bearer x"})):
        with pytest.raises(InvalidStatus):
            _socket(world, actor, **headers)
    with pytest.raises(InvalidStatus):
        _socket(world, "HUMAN::nobody")
    bearer = {"Authorization": f"Bearer {world.tokens['HUMAN::reader']}"}
    with pytest.raises(InvalidStatus):
        connect(
            f"ws://127.0.0.1:{world.port}/other",
            subprotocols=[SOCKET],
            additional_headers=bearer,
        )


def test_another_sites_page_cannot_open_a_websocket(world: World) -> None:
    """A browser sends the cookie along; the origin gives it away."""
    cookie = f"ro_session={world.browser('HUMAN::reader').cookies['ro_session']}"
    with pytest.raises(InvalidStatus):
        _socket(world, None, Cookie=cookie, Origin="https://evil.example")


MESSAGES: dict[str, Any] = {
    "a mutation": {"type": "start", "id": "1", "payload": {"query": RELOAD}},
    "a query": {"type": "start", "id": "1", "payload": {"query": "{version}"}},
    "hidden among": {
        "type": "start",
        "id": "1",
        "payload": {"query": f"{_LOGS.replace('n {', 'n S {', 1)} mutation M {RELOAD[9:]}"},
    },
    "an unknown subscription": {
        "type": "start",
        "id": "1",
        "payload": {"query": "subscription { other }"},
    },
    "the newer protocol": {"type": "subscribe", "id": "1", "payload": {"query": RELOAD}},
    "a batch": [{"type": "start", "id": "1", "payload": {"query": RELOAD}}],
    "no payload": {"type": "start", "id": "1"},
    "an id that is a list": {"type": "stop", "id": ["1"]},
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES.keys())
def test_a_websocket_carries_nothing_but_known_subscriptions(world: World, message: Any) -> None:
    """Anything else ends the connection."""
    with _socket(world, "HUMAN::deployer") as socket:
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv(timeout=10)) == {"type": "connection_ack"}
        socket.send(json.dumps(message))
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=10)


# --- by the clock --------------------------------------------------------------------------------


def _comparisons(function: Any) -> list[str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Compare)]


def test_secrets_are_compared_in_constant_time(world: World) -> None:
    """By structure: no secret stands in a comparison of Python's, and each has its digest's."""
    for function, secret in (
        (Tokens.authenticate, ("secret", "right", "verifier")),
        (Authenticator.by_token, ("text", "local_key")),
        (Authenticator._is_from_proxy, ("said[0]", "proxy.secret")),
        (Sessions.is_form_token, ("text", "form_token")),
    ):
        source = inspect.getsource(function)
        assert "compare_digest(" in source
        compared = " ".join(_comparisons(function))
        assert not any(word in compared.split() for word in secret)
    # And what is refused by it is on record.
    assert world.graphql(None, "{version}").status_code == 401


def test_a_flood_of_one_refusal_is_few_entries(world: World) -> None:
    """Two entries for each minute that it touches, with the count of all."""
    before = len(list(world.plane.ledger.scan(kind=EntryKind.ACCESS_REFUSED)))
    counted = sum(item["count"] for item in world.refusals())
    with world.client("HUMAN::reader") as client:
        for _ in range(50):
            assert client.post("/graphql", json={"query": WIPE}).status_code == 403
    found = world.refusals()
    assert len(found) - before <= 4
    assert sum(item["count"] for item in found) - counted == 50
