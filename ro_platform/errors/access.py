"""Nobody, or not allowed to: exit 11."""

from __future__ import annotations

from ro_platform.errors.base import RunOperateError


class AccessDeniedError(RunOperateError):
    """The policy does not let this actor do that."""

    code = "RO_ACCESS_DENIED"
    exit_code = 11
    advice = "See what would allow it with `ro access explain`; an admin grants roles."

    recorded = False
    """Whether whoever refused has put that on record, so that nobody does it a second time."""


class NotAuthenticatedError(AccessDeniedError):
    """Nobody is known to act: no token, or one that is expired, revoked or not genuine."""

    code = "RO_NOT_AUTHENTICATED"
    advice = (
        "Sign in, or set RO_TOKEN to a token of yours; an admin issues one with `ro token issue`."
    )


class RequestRefusedError(AccessDeniedError):
    """A request to the UI's face is malformed, ambiguous, too large, or not from its own pages."""

    code = "RO_REQUEST_REFUSED"
    advice = "Send the request again from the page itself; a program sends a bearer token."


class PausedError(AccessDeniedError):
    """Somebody paused the plane, a workload or an asset, so nothing starts there."""

    code = "RO_PAUSED"
    advice = (
        "Wait, or resume it with `ro admin resume`; `ro admin status` says who paused it and why."
    )


class GrantRefusedError(AccessDeniedError):
    """A launch has no grant, or one that is expired, forged or for something else."""

    code = "RO_GRANT_REFUSED"
    advice = "Launch the work again, by a way that signs in: the UI, `ro run` or a sensor."


class SecondPersonRequiredError(AccessDeniedError):
    """The action needs the approval of a second person: propose it as a directive."""

    code = "RO_SECOND_PERSON_REQUIRED"
    advice = "Propose it with `ro directive propose`, and have somebody else approve it."


class DirectiveRefusedError(AccessDeniedError):
    """A directive is not in a state for that, its approval is stale, or it would be one's own."""

    code = "RO_DIRECTIVE_REFUSED"
    advice = "See its state with `ro directive show`; propose it anew if it is still wanted."


class RetentionError(AccessDeniedError):
    """The bytes have to be kept still: their retention period is not over."""

    code = "RO_RETENTION"
    advice = (
        "Wait until the period is over, or propose another: `ro directive propose "
        "change-retention`."
    )


class DraftForbiddenError(AccessDeniedError):
    """The environment allows no drafts; production never does."""

    code = "RO_DRAFT_FORBIDDEN"
    advice = "Draft in another environment, where RO_DRAFTS allows it."
