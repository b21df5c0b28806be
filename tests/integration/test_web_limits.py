"""What a client can use up, and what it can pretend to Dagster: both have their limits."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from dagster._core.storage import tags as dagster_tags
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from ro_platform.contracts import EntryKind
from ro_platform.errors import BackendUnavailableError
from ro_platform.ledger.log import Ledger
from ro_platform.web import messages, sockets
from ro_platform.web.graphql_requests import DAGSTERS_OWN, is_reserved
from tests.integration.web_world import LAUNCH, World, served_world

RELOAD = "mutation { reloadWorkspace { __typename } }"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One deployment."""
    with served_world(tmp_path_factory.mktemp("limited")) as served:
        yield served


# --- before anything is judged -------------------------------------------------------------------


def _answer(world: World, sent: bytes) -> bytes:
    """What comes back for these bytes, until the server closes or is silent."""
    with socket.create_connection(("127.0.0.1", world.port), timeout=20) as connection:
        try:
            connection.sendall(sent)
            return connection.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            return b""  # cut off while we sent


def _head(world: World, *lines: str) -> bytes:
    host = f"Host: 127.0.0.1:{world.port}"
    return "\r\n".join(["GET /server_info HTTP/1.1", host, *lines]).encode()


def test_headers_have_an_end(world: World) -> None:
    """One that is large, and many that are small: cut off, and nothing is kept of them."""
    for heavy in (b"\r\nX-A: " + b"a" * (4 << 20), b"\r\nX-A: " * 500_000):
        answer = _answer(world, _head(world) + heavy)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
    assert _answer(world, _head(world, "", "")).startswith(b"HTTP/1.1 401")


def test_no_answer_names_the_server(world: World) -> None:
    """Whether it is the gateway's, the protocol's or a refused websocket's."""
    upgrade = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    for sent in (_head(world, "", ""), b"\x00\x01\r\n\r\n", _head(world, *upgrade, "", "")):
        head = _answer(world, sent).lower()
        assert head.startswith(b"http/1.1 4")
        assert b"server:" not in head
        assert b"uvicorn" not in head


def test_a_body_that_does_not_come_is_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also not at the sign-in page, which anybody reaches."""
    monkeypatch.setattr(messages, "BODY_SECONDS", 0.3)
    host = f"127.0.0.1:{world.port}"
    bearer = f"Authorization: Bearer {world.tokens['HUMAN::reader']}"
    for path, line in (("/graphql", bearer), ("/signout", bearer), ("/signin", "X: y")):
        head = [f"POST {path} HTTP/1.1", f"Host: {host}", f"Origin: http://{host}", line]
        head += ["Content-Type: application/x-www-form-urlencoded", "Content-Length: 9", "", "a"]
        assert _answer(world, "\r\n".join(head).encode()).startswith(b"HTTP/1.1 408")


# --- once somebody is known ----------------------------------------------------------------------


@pytest.mark.parametrize("depth", [101, 600, 990])
def test_variables_that_are_too_deep_are_refused_and_recorded(world: World, depth: int) -> None:
    """Before anything walks through them that would not come back."""
    deep = '{"a":' * depth + "1" + "}" * depth
    body = f'{{"query": "{RELOAD}", "variables": {{"p": {deep}}}}}'
    before = sum(item["count"] for item in world.refusals())
    with world.client("HUMAN::deployer", headers={"Content-Type": "application/json"}) as client:
        answer = client.post("/graphql", content=body)
    assert answer.status_code == 400
    assert "RO_REQUEST_REFUSED" in answer.text
    assert sum(item["count"] for item in world.refusals()) == before + 1


def _socket(world: World, actor: str) -> ClientConnection:
    return connect(
        f"ws://127.0.0.1:{world.port}/graphql",
        subprotocols=[Subprotocol("graphql-ws")],
        additional_headers={"Authorization": f"Bearer {world.tokens[actor]}"},
    )


def test_an_actor_has_a_limited_number_of_websockets(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next is refused, somebody else's is not, and one that ended makes room."""
    monkeypatch.setattr(sockets, "MAX_SOCKETS", 2)
    with _socket(world, "HUMAN::reader"):
        with (
            _socket(world, "HUMAN::reader"),
            pytest.raises(InvalidStatus),
            _socket(world, "HUMAN::reader"),
        ):
            pass
        with _socket(world, "HUMAN::operator"):
            pass
        assert _until_open(world, "HUMAN::reader")


def _until_open(world: World, actor: str) -> bool:
    """The server hears of the end of another one a little later."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(InvalidStatus), _socket(world, actor):
            return True
    return False


def test_a_strangers_flood_of_different_requests_is_few_entries(world: World) -> None:
    """What they ask for is as many things as they like; it is counted by where they are."""
    world.refusals()
    before = len(list(world.plane.ledger.scan(kind=EntryKind.ACCESS_REFUSED)))
    counted = sum(item["count"] for item in world.refusals())
    with world.client() as client:
        for number in range(60):
            assert client.request(("GET", "PUT")[number % 2], f"/a{number}").status_code == 401
    found = world.refusals()
    assert len(found) - before <= 4  # two for each minute that it touches
    assert sum(item["count"] for item in found) - counted == 60


def test_a_refusal_that_cannot_be_recorded_is_one_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger takes nothing: nobody gets in, and the answer says nothing."""

    def away(*_: object) -> None:
        raise BackendUnavailableError("away")

    world.refusals()
    with monkeypatch.context() as patched, world.client() as client:
        patched.setattr(Ledger, "append_many", away)
        answer = client.get("/server_info")
        assert (answer.status_code, answer.text) == (503, "Refused.")
    world.refusals()


# --- Dagster's own tags --------------------------------------------------------------------------


def test_each_tag_of_dagster_is_classified() -> None:
    """A tag that a new Dagster brings fails here until somebody decides who sets it."""
    known = {
        value
        for name, value in vars(dagster_tags).items()
        if isinstance(value, str) and name.endswith(("_TAG", "_TAG_KEY"))
    }
    assert {tag for tag in known if not is_reserved(tag)} == CLIENTS
    assert known >= DAGSTERS_OWN


CLIENTS = {
    "dagster/partition",
    "dagster/partition_set",
    "dagster/asset_partition_range_start",
    "dagster/asset_partition_range_end",
    "dagster/parent_run_id",
    "dagster/root_run_id",
    "dagster/is_resume_retry",
    "dagster/is_asset_resume_retry",
    "dagster/step_selection",
    "dagster/solid_selection",
    "dagster/priority",
    "dagster/max_retries",
    "dagster/retry_strategy",
    "dagster/retry_on_asset_or_op_failure",
    "dagster/max_runtime",
    "dagster/concurrency_key",
    "dagster/isolation",
    "dagster/compute_kind",
    "kind",
}
"""What a person may say of a launch; what is launched is judged by what it does."""

FORGED = dict.fromkeys((*DAGSTERS_OWN, ".dagster/grpc_info", ".dagster/repository"), "forged")


def _pairs(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def test_a_launch_cannot_pretend_to_be_the_daemons(world: World) -> None:
    """Not a schedule's tick, a sensor's key, a backfill's part or somebody else's: the run has none
    of what was sent, and what was sent is on record."""
    params = world.launch_params(team="mine", **FORGED)
    for query, variables in (
        (LAUNCH, {"executionParams": params}),
        (
            """mutation($l: [ExecutionParams!]!) {
              launchMultipleRuns(executionParamsList: $l) { __typename } }""",
            {"l": [params]},
        ),
    ):
        answer = world.graphql("HUMAN::operator", query, variables)
        assert answer.status_code == 200, answer.text
        run_id, actor = world.submitted()[-1]
        run = world.instance.get_run_by_id(run_id)
        assert run is not None
        assert actor == "HUMAN::operator"
        assert run.tags["team"] == "mine"
        assert "forged" not in run.tags.values()
    found = [item for item in world.refusals() if item["operation"] == "forged.tag"]
    assert "dagster/run_key" in found[-1]["reason"]


IN_TEXT = {
    "a launch": "launchRun(executionParams: {selector: {}, executionMetadata: {tags: %s}})",
    "a launch by a variable": "launchRun(executionParams: {selector: {}, executionMetadata: "
    '{tags: [{key: $key, value: "x"}]}})',
    "executing again": 'launchRunReexecution(reexecutionParams: {parentRunId: "x", extraTags: %s})',
    "a backfill": "launchPartitionBackfill(backfillParams: {tags: %s})",
    "several": "launchMultipleRuns(executionParamsList: [{executionMetadata: {tags: %s}}])",
    "one where a list is wanted": "launchRun(executionParams: {executionMetadata: {tags: "
    '{key: "dagster/run_key", value: "x"}}})',
}


@pytest.mark.parametrize("field", IN_TEXT.values(), ids=IN_TEXT.keys())
def test_a_tag_of_dagsters_in_a_querys_text_is_refused(world: World, field: str) -> None:
    """Wherever tags can be said."""
    tags = '[{key: "dagster/run_key", value: "x"}]'
    query = f"mutation($key: String) {{ {field.replace('%s', tags)} {{ __typename }} }}"
    launched = world.submitted()
    answer = world.graphql("HUMAN::operator", query, {"key": ".dagster/grpc_info"})
    assert answer.status_code == 403
    assert "only the server sets" in answer.text
    assert world.submitted() == launched


def test_run_config_is_no_place_of_tags(world: World) -> None:
    """A config that speaks of a user is launched as it was sent."""
    config = {"loggers": {"console": {"config": {"name": "user"}}}}
    params: dict[str, Any] = {**world.launch_params(), "runConfigData": config}
    answer = world.graphql("HUMAN::operator", LAUNCH, {"executionParams": params})
    assert answer.json()["data"]["launchRun"]["__typename"] == "LaunchRunSuccess", answer.text
    run = world.instance.get_run_by_id(world.submitted()[-1][0])
    assert run is not None
    assert json.dumps(run.run_config) == json.dumps(config)
