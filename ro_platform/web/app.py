"""``face(settings)``: the face of a deployment, wired."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from starlette.routing import BaseRoute

from ro_platform.access.acting import acting
from ro_platform.access.keys import access_key
from ro_platform.access.policy import Access
from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.errors import RunOperateError, SettingsError
from ro_platform.orchestration.instances import Instance, open_instance
from ro_platform.plane import Plane, shared_plane
from ro_platform.web.dagster_webserver_private import opened_webserver
from ro_platform.web.face import Face, Guards
from ro_platform.web.firewall import Firewall
from ro_platform.web.pages import strip
from ro_platform.web.permitted import explained
from ro_platform.web.refusals import Refusals
from ro_platform.web.sessions import Sessions
from ro_platform.web.settings import WebSettings, is_loopback
from ro_platform.web.signin import PATH
from ro_platform.web.targets import Targets
from ro_platform.web.visitors import Visitors

OperationsPage = Callable[[Plane, Settings], Sequence[BaseRoute]]
"""Gives the routes below ``/operations``."""


@dataclass(frozen=True)
class OpenFace:
    """A face, ready to serve. ``local_key`` signs the single user in, while there is no policy;
    ``close`` records what is counted and not recorded yet."""

    app: Face
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
def face(
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 3000,
    instance: Instance | None = None,
    operations: OperationsPage | None = None,
) -> Iterator[OpenFace]:
    """The face of a deployment that listens there, while the block runs.

    For so long this process has no token of its own: who acts is whose request is served, and a
    thread that lost its request acts as nobody.
    Raises :class:`SettingsError` for settings that contradict each other, and for an address that
    is not loopback while the plane is in its single-user mode.
    """
    settings = replace(settings, token="")
    plane = shared_plane(settings)
    single = plane.access.in_force is None
    if single and not is_loopback(host):
        raise SettingsError(
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
            lambda: explained(plane.access, acting()),
            partial(_strip, plane.access, operations=bool(routes)),
        ) as webserver,
    ):
        key = secrets.token_urlsafe(32)
        guards = _guards(plane, settings, web, key, Targets(webserver, partial(_workload, plane)))
        try:
            yield OpenFace(
                Face(webserver.app, guards, routes), web, single, key, guards.refusals.flush
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
    visitors = Visitors(plane.tokens, plane.access, sessions, web.proxy, local_key)
    return Guards(
        visitors=visitors,
        sessions=sessions,
        firewall=Firewall(plane.access, targets),
        refusals=Refusals(plane.ledger, plane.clock),
        web=web,
        clock=plane.clock,
    )


def _workload(plane: Plane, partition: str) -> str | None:
    try:
        return plane.runs.manifest(partition).workload
    except RunOperateError:
        return None


def _strip(access: Access, *, operations: bool) -> str:
    return strip(acting(), single_user=access.in_force is None, operations=operations)
