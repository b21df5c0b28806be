"""Nobody, or not allowed to: exit 11."""

from __future__ import annotations

from ro_platform.errors.base import RunOperateError


class AccessDeniedError(RunOperateError):
    """The policy does not let this actor do that."""

    code = "RO_ACCESS_DENIED"
    exit_code = 11

    recorded = False
    """Whether whoever refused has put that on record, so that nobody does it a second time."""


class NotAuthenticatedError(AccessDeniedError):
    """Nobody is known to act: no token, or one that is expired, revoked or not genuine."""

    code = "RO_NOT_AUTHENTICATED"


class RequestRefusedError(AccessDeniedError):
    """A request to the UI's face is malformed, ambiguous, too large, or not from its own pages."""

    code = "RO_REQUEST_REFUSED"


class PausedError(AccessDeniedError):
    """Somebody paused the plane, a workload or an asset, so nothing starts there."""

    code = "RO_PAUSED"


class GrantRefusedError(AccessDeniedError):
    """A launch has no grant, or one that is expired, forged or for something else."""

    code = "RO_GRANT_REFUSED"


class SecondPersonRequiredError(AccessDeniedError):
    """The action needs the approval of a second person: propose it as a directive."""

    code = "RO_SECOND_PERSON_REQUIRED"


class DirectiveRefusedError(AccessDeniedError):
    """A directive is not in a state for that, its approval is stale, or it would be one's own."""

    code = "RO_DIRECTIVE_REFUSED"


class RetentionError(AccessDeniedError):
    """The bytes have to be kept still: their retention period is not over."""

    code = "RO_RETENTION"


class DraftForbiddenError(AccessDeniedError):
    """The environment allows no drafts; production never does."""

    code = "RO_DRAFT_FORBIDDEN"
