"""Attacks on the gateway in disguise: by what stands between, by two meanings of one request, and
by whom it seems to be from. Each is refused, and each is on record."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.integration.web_world import LAUNCH, World, served_world

RELOAD = "mutation { reloadWorkspace { __typename } }"
SOCKET = Subprotocol("graphql-ws")
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One deployment for all attacks."""
    with served_world(tmp_path_factory.mktemp("disguised")) as served:
        yield served


@pytest.fixture(autouse=True)
def _refused_and_recorded(world: World) -> Iterator[None]:
    """Around every attack: something more is on record as refused, and nothing was launched."""
    before, launched = sum(item["count"] for item in world.refusals()), world.submitted()
    yield
    deadline = time.monotonic() + 20  # what the server cuts off itself is recorded after that
    while sum(item["count"] for item in world.refusals()) <= before:
        assert time.monotonic() < deadline, "it is not on record"
        time.sleep(0.05)
    assert world.submitted() == launched


AMBIGUOUS = {
    "two queries": b'{"query": "{version}", "query": "%s"}' % RELOAD.encode(),
    "two queries, one escaped": b'{"query": "{version}", "quer\\u0079": "%s"}' % RELOAD.encode(),
    "variables twice": b'{"query": "{version}", "variables": {"a": {"b": 1, "b": 2}}}',
    "a query that was kept before": b'{"extensions": {"persistedQuery": {"sha256Hash": "0"}}}',
    "an unknown key": b'{"query": "{version}", "mutation": "%s"}' % RELOAD.encode(),
    "a text": b'"{version}"',
    "two documents": b'{"query": "{version}"}{"query": "%s"}' % RELOAD.encode(),
    "not a number": b'{"query": "{version}", "variables": {"a": NaN}}',
    "deep": b'{"query": "{version}", "variables": {"a": ' + b"[" * 5000 + b"]" * 5000 + b"}}",
}


@pytest.mark.parametrize("body", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_what_can_be_read_in_two_ways_is_refused(world: World, body: bytes) -> None:
    """Also to somebody who might do either."""
    with world.client("HUMAN::deployer", headers=JSON) as client:
        assert client.post("/graphql", content=body).status_code == 400


@pytest.mark.parametrize("charset", ["utf-16", "utf-32", "utf-8-sig"])
def test_another_encoding_hides_nothing(world: World, charset: str) -> None:
    """It is refused, or read as what it says."""
    body = json.dumps({"query": RELOAD}).encode(charset)
    headers = {"Content-Type": f"application/json; charset={charset}"}
    with world.client("HUMAN::reader", headers=headers) as client:
        assert client.post("/graphql", content=body).status_code in (400, 403)


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"])
def test_a_header_makes_no_other_method_of_a_get(world: World, name: str) -> None:
    """A GET stays one, and changes nothing."""
    with world.client("HUMAN::deployer", headers={name: "POST"}) as client:
        assert client.get("/graphql", params={"query": RELOAD}).status_code == 405


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "REPORT"])
def test_no_other_method_reaches_graphql(world: World, method: str) -> None:
    """Only GET and POST are taken there."""
    with world.client("HUMAN::deployer") as client:
        assert client.request(method, "/graphql", json={"query": RELOAD}).status_code == 405


@pytest.mark.parametrize("name", ["token", "access_token", "authorization", "key"])
def test_a_token_in_an_address_is_none(world: World, name: str) -> None:
    """Addresses are kept in logs and histories."""
    with world.client() as client:
        address = f"/graphql?{name}={world.tokens['HUMAN::operator']}"
        assert client.post(address, json={"query": "{version}"}).status_code == 401


CLAIMS = ["X-Forwarded-User", "X-Remote-User", "Remote-User", "X-RO-Actor"]


@pytest.mark.parametrize("name", CLAIMS)
def test_a_header_that_names_somebody_else_changes_nothing(world: World, name: str) -> None:
    """Who has the token acts, and is refused as themselves."""
    with world.client("HUMAN::reader", headers={name: "HUMAN::deployer"}) as client:
        answer = client.post("/graphql", json={"query": RELOAD})
    assert answer.status_code == 403
    assert "HUMAN::reader may not" in answer.text


def test_a_better_cookie_beside_a_token_lends_it_nothing(world: World) -> None:
    """The token says who acts."""
    cookie = f"ro_session={world.browser('HUMAN::deployer').cookies['ro_session']}"
    with world.client("HUMAN::reader", headers={"Cookie": cookie}) as client:
        answer = client.post("/graphql", json={"query": RELOAD})
        assert answer.status_code == 403
        assert "HUMAN::reader may not" in answer.text


SPOOFED = [
    {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"},
    {"Forwarded": "host=evil.example;proto=https"},
    {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"},
    {"Referer": "http://127.0.0.1/"},
]


@pytest.mark.parametrize("headers", SPOOFED, ids=lambda one: next(iter(one)))
def test_what_a_proxy_might_say_makes_no_origin_ours(world: World, headers: dict[str, str]) -> None:
    """Nobody named a proxy, so nobody speaks as one."""
    cookie = f"ro_session={world.browser('HUMAN::deployer').cookies['ro_session']}"
    said = {"Cookie": cookie, "Origin": "https://evil.example", **headers}
    with world.client(headers=said) as client:
        assert client.post("/graphql", json={"query": RELOAD}).status_code == 403


def test_a_cookie_that_was_there_before_the_sign_in_is_not_taken_over(world: World) -> None:
    """Session fixation: what an attacker planted is not who signed in afterwards."""
    planted = world.browser("HUMAN::reader").cookies["ro_session"]
    browser = world.browser("HUMAN::deployer")
    assert browser.cookies["ro_session"] != planted
    with world.client(headers={"Cookie": f"ro_session={planted}", "Origin": world.address}) as one:
        assert one.post("/graphql", json={"query": RELOAD}).status_code == 403


def test_a_cookie_sent_twice_is_nobody_elses(world: World) -> None:
    """A path or a subdomain can plant a second one."""
    mine = world.browser("HUMAN::reader").cookies["ro_session"]
    twice = f"ro_session={mine}; ro_session=forged.x"
    with world.client(headers={"Cookie": twice, "Origin": world.address}) as client:
        assert client.post("/graphql", json={"query": RELOAD}).status_code in (401, 403)


def test_a_partition_of_ones_own_opens_no_other_job(world: World) -> None:
    """Narrowed to a workload: its manifest's partition, but Dagster's job for picked assets."""
    params = world.launch_params()
    params["selector"] = {**params["selector"], "jobName": "__ASSET_JOB"}
    answer = world.graphql("HUMAN::narrow", LAUNCH, {"executionParams": params})
    assert answer.status_code == 403


def test_a_grant_that_was_seen_launches_nothing_else(world: World) -> None:
    """A reader who copies the tags of somebody's run is refused; an operator launches as
    themselves, whatever they send."""
    seen = {"ro/actor": "HUMAN::admin", "ro/grant": "a grant that was seen"}
    params = world.launch_params(**seen)
    assert world.graphql("HUMAN::reader", LAUNCH, {"executionParams": params}).status_code == 403
    assert any(item["operation"] == "forged.tag" for item in world.refusals())


FRAMES: dict[str, Any] = {
    "not JSON": "{",
    "bytes": b"\x00\x01",
    "too large": json.dumps({"type": "start", "id": "1", "payload": {"query": "#" * (3 << 20)}}),
    "deep": '{"type": ' + "[" * 5000 + "]" * 5000 + "}",
    "a type twice": '{"type": "connection_init", "type": "start"}',
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES.keys())
def test_a_frame_that_is_no_message_ends_the_websocket(world: World, frame: Any) -> None:
    """Whatever it might mean to whoever is further in."""
    address = f"ws://127.0.0.1:{world.port}/graphql"
    headers = {"Authorization": f"Bearer {world.tokens['HUMAN::reader']}"}
    with connect(address, subprotocols=[SOCKET], additional_headers=headers) as socket:
        _send(socket, frame)
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=10)


def _send(socket: Any, frame: Any) -> None:
    with suppress(ConnectionClosed):  # a large one is cut off while it is sent
        socket.send(frame)
