"""What an administrative action is: a small class for each of the closed set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

from ro_platform import errors
from ro_platform.access.policy import Target
from ro_platform.admin.intents import Intent
from ro_platform.contracts import Action, AdminActionType, AdminRequest, Contract, JsonObject
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.ledger.reader import LedgerReader

P = TypeVar("P", bound=Contract)


def typed(kind: AdminActionType) -> str:
    """The action as it is typed."""
    short = {AdminActionType.ERASE_ARTIFACT: "erase", AdminActionType.REPLAY_REQUEST: "replay"}
    return short.get(kind, kind.value.replace("_", "-"))


class AdminAction(ABC, Generic[P]):
    """One action of the closed set."""

    action_type: ClassVar[AdminActionType]
    parameters: type[P]

    def asked(self, request: AdminRequest) -> P:
        """The request's parameters. Raises :class:`ContractError`."""
        where = f"{self.action_type} parameters"
        try:
            return self.parameters.from_json(canonical_bytes(request.parameters), where=where)
        except errors.ContractError as error:
            raise errors.ContractError(
                error.message,
                next_step=f"`ro admin {typed(self.action_type)} --help` says what it takes.",
            ) from None

    def right(self, request: AdminRequest) -> Action:  # noqa: ARG002 - most ask for their own
        """What an actor must be allowed to do."""
        return Action(self.action_type.value)

    @abstractmethod
    def targets(self, request: AdminRequest) -> tuple[str, ...]:
        """The names of what it is done to."""

    def named(self, request: AdminRequest) -> str:
        """What it is done to, in no other words than the request's: who is refused hears nothing
        that had to be looked up."""
        return ", ".join(self.targets(request))

    def workload(self, request: AdminRequest) -> str | None:  # noqa: ARG002 - most have none
        """The one workload that it concerns, so that a role narrowed to that one is enough."""
        return None

    def stream(self, request: AdminRequest) -> str | None:  # noqa: ARG002 - most have none
        """The one stream that it concerns, likewise."""
        return None

    def target(self, request: AdminRequest, environment: str) -> Target:
        """Where: what roles are held against."""
        return Target(
            self.named(request),
            environment=environment,
            workload=self.workload(request),
            stream=self.stream(request),
        )

    @abstractmethod
    def before(self, request: AdminRequest, log: LedgerReader) -> JsonObject:
        """The state that the action is about to change, as ``log`` has it.

        Raises, before anything is recorded, for a request that cannot be done.
        """

    def preview(self, request: AdminRequest, log: LedgerReader) -> tuple[Any, Any]:
        """What would change, for people: the JSON value before, and after."""
        return self.before(request, log), self.would(request)

    def would(self, request: AdminRequest) -> JsonObject:
        """What would be so after it, as far as that is known before."""
        return self.asked(request).to_json_value()

    def settled(self, request: AdminRequest) -> JsonObject | None:  # noqa: ARG002 - most never are
        """What is so already, where nothing is left to do and nothing is recorded; else None."""
        return None

    def gives(self, request: AdminRequest, log: LedgerReader) -> frozenset[str]:  # noqa: ARG002
        """The actors who get a right by it: none of them is the second person for it."""
        return frozenset()

    def ready(self) -> None:
        """Raise where this process cannot do it at all; then nothing is recorded or closed."""

    @abstractmethod
    def act(self, intent: Intent, request: AdminRequest) -> None:
        """Do it, and leave ``intent``'s outcome in the last commit, unless it is closed.

        The first commit of what cannot be repeated asks :meth:`Intent.may_begin`. Safe to repeat
        and to do twice at once. Raises a :class:`RunOperateError`: a retryable one
        or :class:`OutcomeUnknownError` leaves the intent open, any other is the outcome.
        """
