"""Serving the gateway: uvicorn in this process, and the daemon, if asked for, as its child.

The two end together: when the daemon dies the gateway stops, and when the gateway stops, however
that happens, the daemon is told to.

``gateway(settings)``: the gateway of a deployment, wired.
"""

from __future__ import annotations

import ctypes
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import uvicorn
from starlette.routing import BaseRoute

from ro_platform import errors
from ro_platform.access.identity import current_actor
from ro_platform.access.keys import access_key
from ro_platform.access.policy import Access
from ro_platform.config.settings import Settings, forget_token, settings_in_force, use_dagster_home
from ro_platform.dagster_private.webserver import opened_webserver
from ro_platform.orchestration.instances import Instance, open_instance
from ro_platform.plane import Plane, shared_plane
from ro_platform.web.admission import Guards
from ro_platform.web.authentication import Authenticator, Sessions
from ro_platform.web.documents import validating
from ro_platform.web.firewall import Firewall
from ro_platform.web.gateway import Gateway
from ro_platform.web.mutations import Targets, explained
from ro_platform.web.pages import strip
from ro_platform.web.refusals import Refusals
from ro_platform.web.settings import WebSettings, is_loopback
from ro_platform.web.signin import PATH
from ro_platform.web.sockets import MAX_MESSAGE_CHARS

OperationsPage = Callable[[Plane, Settings], Sequence[BaseRoute]]
"""Gives the routes below ``/operations``."""


@dataclass(frozen=True)
class OpenGateway:
    """A gateway, ready to serve. ``local_key`` signs the single user in, while there is no policy;
    ``close`` records what is counted and not recorded yet."""

    app: Gateway
    web: WebSettings
    single_user: bool
    local_key: str = field(repr=False)
    close: Callable[[], None]

    @property
    def sign_in_address(self) -> str:
        """Where to sign in; in the single-user mode with the key that this process takes."""
        key = f"?key={self.local_key}" if self.single_user else ""
        return f"{self.web.public}{PATH}{key}"


@contextmanager
def gateway(
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 3000,
    instance: Instance | None = None,
    operations: OperationsPage | None = None,
) -> Iterator[OpenGateway]:
    """The gateway of a deployment that listens there, while the block runs.

    For so long this process has no token of its own: who acts is whose request is served, and a
    thread that lost its request acts as nobody.
    Raises :class:`SettingsError` for settings that contradict each other, and for an address that
    is not loopback while the plane is in its single-user mode.
    """
    settings = replace(settings, token="")
    plane = shared_plane(settings)
    single = plane.access.in_force is None
    if single and not is_loopback(host):
        raise errors.SettingsError(
            f"The plane is in its single-user mode, which is not served on {host}.",
            next_step="Publish an access policy (`ro access publish FILE`), or serve on 127.0.0.1.",
        )
    web = WebSettings.of(settings, host=host, port=port)
    routes = operations(plane, settings) if operations else ()
    with (
        settings_in_force(settings),
        opened_webserver(
            instance or open_instance(settings),
            settings.root / "workspace.yaml",
            lambda: explained(plane.access, current_actor()),
            partial(_strip, plane.access, operations=bool(routes)),
            validating,
        ) as webserver,
    ):
        key = secrets.token_urlsafe(32)
        guards = _guards(plane, settings, web, key, Targets(webserver, partial(_workload, plane)))
        try:
            yield OpenGateway(
                Gateway(webserver.app, guards, routes), web, single, key, guards.refusals.flush
            )
        finally:
            guards.refusals.flush()


def _guards(
    plane: Plane, settings: Settings, web: WebSettings, local_key: str, targets: Targets
) -> Guards:
    sessions = Sessions(
        plane.ledger,
        partial(access_key, settings.access_key),
        plane.clock,
        lifetime=web.session,
        secure=web.secure,
    )
    authenticator = Authenticator(plane.tokens, plane.access, sessions, web.proxy, local_key)
    return Guards(
        authenticator=authenticator,
        sessions=sessions,
        firewall=Firewall(plane.access, targets),
        refusals=Refusals(plane.ledger, plane.clock),
        web=web,
        clock=plane.clock,
    )


def _workload(plane: Plane, partition: str) -> str | None:
    try:
        return plane.runs.manifest(partition).workload
    except errors.RunOperateError:
        return None


def _strip(access: Access, *, operations: bool) -> str:
    return strip(current_actor(), single_user=access.in_force is None, operations=operations)


_STOP_SECONDS = 20
_MAX_HEADER_BYTES = 128 << 10
_MAX_CONNECTIONS = 1000
_PR_SET_PDEATHSIG = 1


def serve(
    settings: Settings,
    *,
    host: str,
    port: int,
    daemon: bool,
    say: Callable[[OpenGateway], None],
    operations: OperationsPage | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. ``say`` is called when the gateway is ready to be served.

    Raises what :func:`gateway` raises, and :class:`RunFailedError` when the daemon
    ended by itself.
    """
    # The daemon first: to fork is safe only while no other threads run here.
    with _daemon(settings) if daemon else nullcontext() as child:
        forget_token()  # it is the daemon's; code servers of the gateway act for nobody
        with gateway(settings, host=host, port=port, operations=operations) as opened:
            server = uvicorn.Server(config_of(opened, host, port))
            if child is not None:
                child.stop_with_it(server)
            say(opened)
            server.run()
        if child is not None and child.ended:
            raise errors.RunFailedError(
                "The daemon ended, and the gateway with it.",
                next_step="Its last lines are above; start both again.",
            )


class _Daemon:
    """Dagster's daemon, as a child of this process."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self.ended = False

    def stop_with_it(self, server: uvicorn.Server) -> None:
        """Stop the server when the daemon ends by itself."""

        def watch() -> None:
            self._child.wait()
            self.ended = not server.should_exit
            server.should_exit = True

        threading.Thread(target=watch, daemon=True).start()

    def stop(self) -> None:
        """End it, and wait until it has."""
        self._child.terminate()
        try:
            self._child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def config_of(opened: OpenGateway, host: str, port: int) -> uvicorn.Config:
    """How a gateway is served: what reaches it is limited before it is judged."""
    return uvicorn.Config(
        opened.app,
        host=host,
        port=port,
        log_level="warning",
        # The peer's address is a credential (a named proxy), so no header may change it.
        proxy_headers=False,
        # The faster parser takes headers without end.
        http="h11",
        h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
        limit_concurrency=_MAX_CONNECTIONS,
        server_header=False,
        ws_max_size=4 * MAX_MESSAGE_CHARS,
        timeout_graceful_shutdown=5,
    )


@contextmanager
def _daemon(settings: Settings) -> Iterator[_Daemon]:
    use_dagster_home(settings)
    program = Path(sys.executable).with_name("dagster-daemon")
    daemon = _Daemon(
        subprocess.Popen(  # noqa: S603 - the program beside our interpreter, and no shell
            [program, "run", "-w", "workspace.yaml"],
            cwd=settings.root,
            preexec_fn=_end_with_parent,
        )
    )
    try:
        yield daemon
    finally:
        daemon.stop()


def _end_with_parent() -> None:
    """The kernel tells the child when its parent is gone, also after a kill -9. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
