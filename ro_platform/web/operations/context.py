"""What the pages ask and act with: the plane, and Dagster only where an action needs it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ro_platform import errors
from ro_platform.access.policy import four_eyes_of, said
from ro_platform.admin.administration import Administration
from ro_platform.admin.orchestrator import Orchestrator
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action, AdminActionType
from ro_platform.orchestration.operations import orchestrator
from ro_platform.plane import Plane
from ro_platform.web.authentication import Principal
from ro_platform.web.mutations import anywhere

_NEEDS_DAGSTER = frozenset({AdminActionType.CANCEL_RUN, AdminActionType.REPLAY_REQUEST})


@dataclass(frozen=True, slots=True)
class PageContext:
    """One request: who it is from, what its forms carry, and what its address says.

    ``refused`` records the error that refused an operation, where no service has it on record.
    """

    principal: Principal
    form_token: str
    path: str
    query: Mapping[str, str]
    refused: Callable[[errors.RunOperateError, str], None]

    @property
    def actor(self) -> str:
        """Who is signed in."""
        return self.principal.actor


class PageServices:
    """One deployment's. ``reach`` opens its orchestrator, once it is needed. One object serves all
    threads."""

    def __init__(
        self,
        plane: Plane,
        settings: Settings,
        reach: Callable[[Settings], Orchestrator] = orchestrator,
    ) -> None:
        self.plane = plane
        self.settings = settings
        self._reach = reach
        self._lock = threading.Lock()
        self._reached: Orchestrator | None = None

    def administration(self, kind: AdminActionType) -> Administration:
        """The administration that can do this action. Raises :class:`SettingsError` where it needs
        Dagster, and there is none."""
        own = self.plane.administration
        return own.over(self.orchestrator()) if kind in _NEEDS_DAGSTER else own

    def orchestrator(self) -> Orchestrator:
        """The deployment's. Raises :class:`SettingsError` where there is none."""
        with self._lock:
            if self._reached is None:
                self._reached = self._reach(self.settings)
            return self._reached

    def may(self, actor: str, action: Action) -> tuple[bool, str]:
        """Whether the actor may do this anywhere in this environment, and why not. For display:
        what is done is decided where it is done."""
        return anywhere(self.plane.access, actor, action)

    def needs_second(self, action: Action) -> bool:
        """Whether the policy has a second person approve it first."""
        found = self.plane.access.in_force
        return found is not None and action in four_eyes_of(found.policy)

    def roles(self, actor: str) -> tuple[str, ...]:
        """The actor's roles, and where they hold; none in the single-user mode."""
        found = self.plane.access.in_force
        bindings = found.policy.bindings if found else ()
        return tuple(said(binding) for binding in bindings if binding.actor == actor)

    @property
    def single_user(self) -> str | None:
        """The single user, while no policy was ever published."""
        access = self.plane.access
        return access.single_user if access.in_force is None else None
