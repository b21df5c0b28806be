"""The gateway over the real webserver: signing in, acting as somebody, and what the UI is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from ro_platform.access.identity import current_actor
from ro_platform.errors import SettingsError
from ro_platform.web.serving import gateway
from tests.acceptance.product import Deployment
from tests.integration.web_world import (
    LAUNCH,
    PROXY_SECRET,
    World,
    form_token,
    published_people,
    served_world,
)

PROXY = {"RO_WEB_PROXY_PEERS": "127.0.0.1", "RO_WEB_PROXY_SECRET": PROXY_SECRET}
PATIENCE_SECONDS = 90


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One deployment, with a named proxy on this machine."""
    with served_world(tmp_path_factory.mktemp("faced"), web=PROXY) as served:
        yield served


# --- signing in ----------------------------------------------------------------------------------


def test_a_token_signs_in_and_the_cookie_is_kept_from_scripts_and_other_sites(
    world: World,
) -> None:
    """HttpOnly, SameSite, for the whole gateway, and to the page that was wanted."""
    with world.client(headers={"Origin": world.address}) as client:
        token = form_token(client.get("/signin", params={"next": "/runs?x=1"}).text)
        data = {"form_token": token, "token": world.tokens["HUMAN::reader"]}
        answer = client.post("/signin", data=data)
        assert (answer.status_code, answer.headers["location"]) == (303, "/runs?x=1")
        cookie = answer.headers["set-cookie"].lower()
        for word in ("ro_session=", "httponly", "samesite=lax", "path=/", "max-age=28800"):
            assert word in cookie
        assert world.tokens["HUMAN::reader"] not in answer.headers["set-cookie"]
        page = client.get("/", headers={"Accept": "text/html"})
        assert page.status_code == 200
        assert "HUMAN::reader" in page.text
        assert 'id="__next"' in page.text


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "\t/x"]
)
def test_signing_in_leads_nowhere_else(world: World, wanted: str) -> None:
    """What a link wants to be shown next is a path of the gateway, or ignored."""
    with world.client(headers={"Origin": world.address}) as client:
        token = form_token(client.get("/signin", params={"next": wanted}).text)
        data = {"form_token": token, "token": world.tokens["HUMAN::reader"]}
        assert client.post("/signin", data=data).headers["location"] == "/"


def test_the_sign_in_page_needs_no_script_and_may_run_none(world: World) -> None:
    """One labelled field, a language, a title, and a policy that loads nothing."""
    with world.client() as client:
        answer = client.get("/signin")
    assert "<script" not in answer.text
    assert '<label for="token">' in answer.text
    assert '<html lang="en">' in answer.text
    assert "default-src 'none'" in ",".join(answer.headers.get_list("content-security-policy"))


def test_every_answer_has_the_security_headers(world: World) -> None:
    """Pages, data, refusals and the health check."""
    with world.client("HUMAN::reader") as client:
        for path in ("/", "/server_info", "/signin", "/healthz", "/favicon.png", "/a;b"):
            headers = client.get(path).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["referrer-policy"] == "same-origin"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["cache-control"] == "no-store"


def test_a_session_acts_from_the_faces_own_pages(world: World) -> None:
    """The UI's own requests, which carry the origin and the cookie, are served."""
    browser = world.browser("HUMAN::operator")
    answer = browser.post("/graphql", json={"query": LAUNCH, "variables": _launch(world)})
    assert answer.json()["data"]["launchRun"]["__typename"] == "LaunchRunSuccess"
    assert world.submitted()[-1][1] == "HUMAN::operator"


def test_the_named_proxy_says_who_it_is_and_its_people_are_safe_from_other_sites(
    world: World,
) -> None:
    """Address and secret together; a browser behind it is held to the origin all the same."""
    named = {"X-Forwarded-User": "deployer", "X-RO-Proxy-Secret": PROXY_SECRET}
    reload = {"query": "mutation { reloadWorkspace { __typename } }"}
    with world.client(headers=named) as client:
        assert client.post("/graphql", json=reload).status_code == 403
        own = client.post("/graphql", json=reload, headers={"Origin": world.address})
        assert own.json()["data"]["reloadWorkspace"]["__typename"] == "Workspace"
    with world.client(headers={**named, "X-Forwarded-User": "no such::one"}) as client:
        assert client.get("/server_info").status_code == 401


# --- acting --------------------------------------------------------------------------------------


def _launch(world: World, **tags: str) -> dict[str, Any]:
    return {"executionParams": world.launch_params(**tags)}


@pytest.mark.parametrize("resource", ["plane", "io_manager"])
def test_a_launch_sets_nothing_of_the_plane(world: World, resource: str) -> None:
    """An operator cannot say which gates there are, nor under which rule: Dagster refuses, and
    nothing is submitted."""
    gates = [{"gate_id": "numbers.few_enough", "code_version": "later"}]
    ways: list[dict[str, Any]] = [
        {"declared": []},
        {"declarations": [{"asset": "numbers", "gates": gates}]},
    ]
    for config in ways:
        asked = _launch(world)
        said = {"resources": {resource: {"config": config}}}
        asked["executionParams"]["runConfigData"] = said
        before = world.submitted()
        answer = world.graphql("HUMAN::narrow", LAUNCH, asked).json()["data"]["launchRun"]
        assert answer == {"__typename": "RunConfigValidationInvalid"}
        assert world.submitted() == before


def test_the_coordinator_sees_who_launches_and_never_what_a_client_says(world: World) -> None:
    """The forged tags are dropped before Dagster sees them, and that is on record."""
    forged = {"ro/actor": "HUMAN::admin", "ro/grant": "{}", "ro/worker": "x", "team": "mine"}
    answer = world.graphql("HUMAN::narrow", LAUNCH, _launch(world, **forged))
    run = answer.json()["data"]["launchRun"]["run"]
    tags = {item["key"]: item["value"] for item in run["tags"]}
    assert tags["team"] == "mine"
    assert tags.get("ro/actor") != "HUMAN::admin"
    assert tags.get("ro/grant") != "{}"
    assert world.submitted()[-1] == (run["runId"], "HUMAN::narrow")
    found = [item for item in world.refusals() if item["operation"] == "forged.tag"]
    assert found[-1]["actor"] == "HUMAN::narrow"
    assert "ro/actor, ro/grant, ro/worker" in found[-1]["reason"]


def test_several_launches_in_one_request_are_all_of_its_actor(world: World) -> None:
    """Through the aliases of one document, and through Dagster's own mutation for many."""
    several = """mutation($p: ExecutionParams!, $l: [ExecutionParams!]!) {
      a: launchRun(executionParams: $p) { __typename }
      b: launchRun(executionParams: $p) { __typename }
      launchMultipleRuns(executionParamsList: $l) { __typename }
    }"""
    before = len(world.submitted())
    params = world.launch_params()
    answer = world.graphql("HUMAN::operator", several, {"p": params, "l": [params, params]})
    assert answer.status_code == 200, answer.text
    assert [actor for _, actor in world.submitted()[before:]] == ["HUMAN::operator"] * 4


def test_concurrent_requests_keep_their_actors_apart(world: World) -> None:
    """Two people at once, over and over: each run is its own launcher's."""
    from concurrent.futures import ThreadPoolExecutor

    def launch(number: int) -> tuple[str, str]:
        actor = ("HUMAN::operator", "HUMAN::narrow")[number % 2]
        answer = world.graphql(actor, LAUNCH, _launch(world)).json()
        return answer["data"]["launchRun"]["run"]["runId"], actor

    with ThreadPoolExecutor(6) as pool:
        launched = dict(pool.map(launch, range(18)))
    seen = dict(world.submitted())
    assert {run: seen[run] for run in launched} == launched


def test_a_backfill_is_stored_as_its_actor(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Dagster adds a backfill, the actor of the request is known."""
    seen: list[str | None] = []
    add = world.instance.add_backfill

    def noting(backfill: Any) -> None:
        seen.append(current_actor())
        add(backfill)

    monkeypatch.setattr(world.instance, "add_backfill", noting)
    query = """mutation($p: LaunchBackfillParams!) {
      launchPartitionBackfill(backfillParams: $p) { __typename }
    }"""
    params = {
        "selector": {
            "partitionSetName": "adding_partition_set",
            "repositorySelector": {
                "repositoryLocationName": "small",
                "repositoryName": "__repository__",
            },
        },
        "partitionNames": [world.fingerprint],
    }
    answer = world.graphql("HUMAN::narrow", query, {"p": params})
    assert answer.json()["data"]["launchPartitionBackfill"]["__typename"] == (
        "LaunchBackfillSuccess"
    )
    assert seen == ["HUMAN::narrow"]


def test_a_socket_streams_what_its_actor_may_see(world: World) -> None:
    """The UI's own subscription to a run's log, in the protocol that it speaks."""
    answer = world.graphql("HUMAN::operator", LAUNCH, _launch(world))
    run = answer.json()["data"]["launchRun"]["run"]["runId"]
    query = """subscription Logs($run: ID!) {
      pipelineRunLogs(runId: $run) { __typename }
    }"""
    payload = {"query": query, "variables": {"run": run}, "operationName": "Logs"}
    with connect(
        f"ws://127.0.0.1:{world.port}/graphql",
        subprotocols=[Subprotocol("graphql-ws")],
        additional_headers={"Authorization": f"Bearer {world.tokens['HUMAN::reader']}"},
    ) as socket:
        socket.send(json.dumps({"type": "connection_init", "payload": {}}))
        assert json.loads(socket.recv(timeout=10))["type"] == "connection_ack"
        socket.send(json.dumps({"type": "start", "id": "7", "payload": payload}))
        data = json.loads(socket.recv(timeout=20))
    assert (data["id"], data["type"]) == ("7", "data")
    assert data["payload"]["data"]["pipelineRunLogs"]["__typename"]


def test_the_ui_is_told_which_buttons_are_disabled_and_why(world: World) -> None:
    """Dagster's own permissions, of the deployment and of a code location."""
    query = """{
      permissions { permission value disabledReason }
      workspaceOrError { ... on Workspace { locationEntries {
        permissions { permission value disabledReason } } } }
    }"""
    data = world.graphql("HUMAN::reader", query).json()["data"]
    (location,) = data["workspaceOrError"]["locationEntries"]
    for found in (data["permissions"], location["permissions"]):
        launch = next(item for item in found if item["permission"] == "launch_pipeline_execution")
        assert launch["value"] is False
        assert "HUMAN::reader may not launch" in launch["disabledReason"]
    operator = world.graphql("HUMAN::operator", query).json()["data"]["permissions"]
    allowed = {item["permission"]: item["value"] for item in operator}
    assert allowed["launch_pipeline_execution"]
    assert not allowed["wipe_assets"]


def test_the_ways_of_dagsters_own_clients_are_served(world: World) -> None:
    """JSON, GraphQL text, a GET, the playground, a file, the UI's op parameter."""
    with world.client("HUMAN::reader") as client:
        said = [
            client.post("/graphql", json={"query": "{version}"}),
            client.post("/graphql?op=Version", json={"query": "{version}"}),
            client.get("/graphql", params={"query": "{version}", "variables": "{}"}),
            client.post(
                "/graphql", content="{version}", headers={"Content-Type": "application/graphql"}
            ),
        ]
        assert {answer.text for answer in said} == {said[0].text}
        assert said[0].json()["data"]["version"]
        assert "graphiql" in client.get("/graphql", headers={"Accept": "text/html"}).text.lower()
        assert client.get("/favicon.png").headers["content-type"] == "image/png"


# --- the single-user mode ------------------------------------------------------------------------


def test_the_single_user_mode_is_for_one_user_on_this_machine(tmp_path: Path) -> None:
    """Its key signs that user in and nobody else, each page says so, it binds to loopback only,
    and it is over for good when a policy is published."""
    with served_world(tmp_path / "single", policy=False) as world:
        assert world.opened.sign_in_address.endswith(f"/signin?key={world.opened.local_key}")
        for host in ("0.0.0.0", "192.0.2.7", "::"):
            with pytest.raises(SettingsError), gateway(world.settings, host=host):
                pass
        with world.client(headers={"Origin": world.address}) as client:
            assert client.get("/server_info").status_code == 401
            page = client.get("/signin", params={"key": world.opened.local_key}).text
            assert "Single-user mode" in page
            data = {"form_token": form_token(page), "token": world.opened.local_key}
            assert client.post("/signin", data=data).status_code == 303
            shown = client.get("/", headers={"Accept": "text/html"}).text
            assert "Single-user mode" in shown
            assert world.settings.actor in shown
            answer = client.post("/graphql", json={"query": LAUNCH, "variables": _launch(world)})
            assert answer.json()["data"]["launchRun"]["__typename"] == "LaunchRunSuccess"
            assert world.submitted()[-1][1] == world.settings.actor
            published_people(world.plane, world.settings.actor)
            assert client.get("/server_info").status_code == 401
        with world.client(headers={"Authorization": f"Bearer {world.opened.local_key}"}) as late:
            assert late.get("/server_info").status_code == 401


# --- the command ---------------------------------------------------------------------------------


def test_ro_web_serves_with_its_daemon_and_they_end_together(tmp_path: Path) -> None:
    """The command prints where to sign in; whoever of the two dies takes the other along."""
    with served_world(tmp_path / "command", policy=False) as world:
        root, port = world.root, world.port
    # The daemon imports the world's coordinator from its folder.
    env = {"RO_UI_URL": f"http://127.0.0.1:{port}", "PYTHONPATH": str(root)}
    deployment = Deployment(root, root / ".ro", env)
    for end in ("face", "daemon"):
        log = root / f"{end}.log"
        process = deployment.start("ro", "web", "--daemon", "--port", port, log=log)
        try:
            _until(lambda log=log: "Sign in at" in log.read_text(), process)
            _until(lambda: _healthy(port), process)
            daemon = _daemon_of(process.pid)
            _until(lambda log=log: "dagster.daemon" in log.read_text(), process)
            assert daemon.is_running()
            (process if end == "face" else daemon).send_signal(signal.SIGKILL)
            assert process.wait(PATIENCE_SECONDS) != 0
            gone, alive = psutil.wait_procs([daemon], timeout=30)
            assert gone
            assert not alive
        finally:
            _end(process)
    assert "RO_RUN_FAILED" in (root / "daemon.log").read_text()


def _daemon_of(pid: int) -> psutil.Process:
    children = psutil.Process(pid).children()
    return next(c for c in children if any("dagster-daemon" in part for part in c.cmdline()))


def _healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 204
    except httpx.TransportError:
        return False


def _until(done: Any, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not done():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
