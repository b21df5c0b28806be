"""What went wrong with a bucket, in our words: a vendor's message may quote a URL with a password.

Rights and unreachable servers are :class:`BackendUnavailableError`, a write that is denied
:class:`StoreNotWritableError`: once it is mended, the same call succeeds. A bucket in which one
note could replace another is a :class:`SettingsError`.
"""

from __future__ import annotations

from botocore import exceptions as vendor
from botocore.exceptions import ClientError

from ro_platform.errors import BackendUnavailableError, SettingsError, StoreNotWritableError

RIGHTS = "s3:PutObject, s3:GetObjectVersion and s3:ListBucketVersions"
LATER = "What it lacks is handed over with the next checkpoint."

_CREDENTIALS = {
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "InvalidToken",
    "ExpiredToken",
    "AuthorizationHeaderMalformed",
    "RequestTimeTooSkewed",
}
_DENIED = {"AccessDenied", "AllAccessDisabled", "403"}
_NO_BUCKET = {"NoSuchBucket", "PermanentRedirect", "301"}
_NOT_OFFERED = {"NotImplemented", "MethodNotAllowed", "405", "501"}


def code_of(error: ClientError) -> str:
    """The code that the endpoint answered, such as ``NoSuchBucket``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def unavailable(label: str, error: Exception, seconds: float) -> BackendUnavailableError:
    """Any exception of boto3 as one of ours; ``seconds`` is how long an answer was awaited."""
    if isinstance(error, ClientError):
        return _answered(label, error)
    if isinstance(error, vendor.NoCredentialsError | vendor.PartialCredentialsError):
        return _error(
            label,
            "there are no credentials for it",
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or another place boto3 reads.",
        )
    if isinstance(error, vendor.ConnectTimeoutError | vendor.ReadTimeoutError):
        return _error(label, f"it did not answer within {seconds:g} seconds", LATER)
    if isinstance(error, vendor.ConnectionError | vendor.HTTPClientError):
        return _error(
            label,
            f"its endpoint cannot be reached ({type(error).__name__})",
            f"See whether it runs and endpoint_url is right. {LATER}",
        )
    return _error(
        label,
        f"what its endpoint answers is not S3's ({type(error).__name__})",
        "Give the address of an S3 endpoint as endpoint_url.",
    )


def not_shown(label: str, name: str) -> BackendUnavailableError:
    """It took or had an object of that name, and does not show it."""
    return _error(label, f"it does not show {name} after it was put there", LATER)


def replaces(label: str) -> SettingsError:
    """The bucket took a second object in place of the first."""
    return SettingsError(
        f"The witness {label} cannot be one: it ignored If-None-Match and replaced an object, so a "
        "checkpoint in it could be replaced by another.",
        next_step="No checkpoint was put there. Turn on versioning, best with Object Lock, or name "
        "another bucket in RO_WITNESSES.",
        setting="RO_WITNESSES",
        witness=label,
    )


def _answered(label: str, error: ClientError) -> BackendUnavailableError:
    code, operation = code_of(error), error.operation_name
    if code in _CREDENTIALS:
        return _error(
            label,
            f"it does not accept the credentials ({code})",
            "Correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or where boto3 finds them.",
        )
    if code in _DENIED:
        kind = StoreNotWritableError if operation == "PutObject" else BackendUnavailableError
        return _error(label, f"it denies {operation} ({code})", f"Allow {RIGHTS}.", kind)
    if code in _NO_BUCKET:
        return _error(
            label,
            f"there is no such bucket at that endpoint ({code})",
            "Create it, or correct bucket, region and endpoint_url in its address.",
        )
    if code in _NOT_OFFERED:
        return _error(
            label,
            f"its endpoint does not offer {operation} ({code})",
            "Use an endpoint that offers conditional writes and lists versions.",
        )
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "?")
    return _error(label, f"it answered {code or 'nothing'} ({status}) to {operation}", LATER)


def _error(
    label: str,
    why: str,
    next_step: str,
    kind: type[BackendUnavailableError] = BackendUnavailableError,
) -> BackendUnavailableError:
    return kind(f"The witness {label} does not serve: {why}.", next_step=next_step, witness=label)
