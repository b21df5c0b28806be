"""An S3 bucket as a witness: best in another account, with Object Lock, writable and not erasable.

What counts is the **first version** of an object. ``PutObject`` with ``If-None-Match: *`` creates
only, where the endpoint honours it. Not all do: Ceph 16.2 takes a second object in a bucket with
versions, where it becomes the newer version. A newer version, and a delete marker, which Object
Lock permits, hide the first one from a plain ``GetObject`` and ``ListObjectsV2``; so versions are
listed and read. A bucket without versions has to refuse the second object, which is tried once,
with an object of no meaning, before the first note is put there.

Needed are ``s3:PutObject``, ``s3:GetObjectVersion`` and ``s3:ListBucketVersions``. Credentials come
from where boto3 finds them; none is part of the address.

What went wrong with a bucket, in our words: a vendor's message may quote a URL with a password.

Rights and unreachable servers are :class:`BackendUnavailableError`, a write that is denied
:class:`StoreNotWritableError`: once it is mended, the same call succeeds. A bucket in which one
note could replace another is a :class:`SettingsError`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore import exceptions as vendor
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from ro_platform import errors
from ro_platform.checkpoints.witnesses.base import Witness, require_same
from ro_platform.kernel.signing import MAX_NOTE_BYTES

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


def unavailable(label: str, error: Exception, seconds: float) -> errors.BackendUnavailableError:
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


def not_shown(label: str, name: str) -> errors.BackendUnavailableError:
    """It took or had an object of that name, and does not show it."""
    return _error(label, f"it does not show {name} after it was put there", LATER)


def replaces(label: str) -> errors.SettingsError:
    """The bucket took a second object in place of the first."""
    return errors.SettingsError(
        f"The witness {label} cannot be one: it ignored If-None-Match and replaced an object, so a "
        "checkpoint in it could be replaced by another.",
        next_step="No checkpoint was put there. Turn on versioning, best with Object Lock, or name "
        "another bucket in RO_WITNESSES.",
        setting="RO_WITNESSES",
        witness=label,
    )


def _answered(label: str, error: ClientError) -> errors.BackendUnavailableError:
    code, operation = code_of(error), error.operation_name
    if code in _CREDENTIALS:
        return _error(
            label,
            f"it does not accept the credentials ({code})",
            "Correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or where boto3 finds them.",
        )
    if code in _DENIED:
        kind = (
            errors.StoreNotWritableError
            if operation == "PutObject"
            else errors.BackendUnavailableError
        )
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
    kind: type[errors.BackendUnavailableError] = errors.BackendUnavailableError,
) -> errors.BackendUnavailableError:
    return kind(f"The witness {label} does not serve: {why}.", next_step=next_step, witness=label)


PROBE = ".creates-only"
"""The object below the prefix that a bucket without versions must refuse to replace. No log's
name begins with a dot."""
_ATTEMPTS = 3
_EXISTS = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")
_MISSING = ("NoSuchKey", "NoSuchVersion", "404")


class S3Witness(Witness):
    """Notes as objects below ``prefix`` of a bucket."""

    def __init__(
        self,
        bucket: str,
        prefix: str,
        *,
        endpoint_url: str | None,
        region: str | None,
        timeout_seconds: float = 30.0,
    ) -> None:
        super().__init__(f"s3://{bucket}/{prefix}".rstrip("/"))
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._endpoint_url = endpoint_url
        self._region = region
        self._timeout = timeout_seconds
        self._opened: Any = None
        self._keeps = False
        self._first: dict[str, str] = {}  # first versions never change, so they are remembered

    def keep(self, name: str, note: bytes) -> None:
        """See :class:`Witness`. A crash leaves the whole note or nothing; the call is repeated.

        Raises :class:`SettingsError`, and puts no note there, if one could replace another.
        """
        with self._serves() as client:
            self._require_keeps(client)
            if self._first_version(client, name) is None:
                self._create(client, name, note)
            # Also what another process, or a first try whose answer was lost, put there before.
            held = self._held(client, name)
        if held is None:
            raise not_shown(self.label, name)
        require_same(self.label, name, held, note)

    def names(self, origin: str) -> list[str]:
        """See :class:`Witness`. Of each object the first version, also behind a delete marker."""
        with self._serves() as client:
            return sorted(self._list(client, f"{origin}/"))

    def read(self, name: str) -> bytes:
        """See :class:`Witness`. The first version."""
        with self._serves() as client:
            held = self._held(client, name)
        if held is None:
            raise errors.NotFoundError(
                f"The witness {self.label} has no {name}.", witness=self.label
            )
        return held

    def _held(self, client: Any, name: str) -> bytes | None:
        version = self._first_version(client, name)
        if version is None:
            return None
        try:
            answer = client.get_object(
                Bucket=self._bucket, Key=self._prefix + name, VersionId=version
            )
            return bytes(answer["Body"].read(MAX_NOTE_BYTES + 1))
        except ClientError as error:
            if code_of(error) in _MISSING:
                return None
            raise

    def _first_version(self, client: Any, name: str) -> str | None:
        if name not in self._first:
            self._list(client, name)
        return self._first.get(name)

    def _list(self, client: Any, start: str) -> set[str]:
        """The names that begin so; their first versions are known afterwards."""
        found = dict[str, str]()
        pages = client.get_paginator("list_object_versions").paginate(
            Bucket=self._bucket, Prefix=self._prefix + start
        )
        for page in pages:
            for item in page.get("Versions", ()):
                # An object's versions come newest first: the last one said is the first one made.
                found[str(item["Key"]).removeprefix(self._prefix)] = str(item["VersionId"])
        self._first.update(found)
        return set(found)

    def _require_keeps(self, client: Any) -> None:
        """Once: that whatever is put there second leaves what was there first."""
        if self._keeps:
            return
        for _ in range(2):
            answer = self._create(client, PROBE, b"This bucket creates only.\n")
            if answer is None or answer.get("VersionId", "null") != "null":
                self._keeps = True
                return
        raise replaces(self.label)

    def _create(self, client: Any, name: str, content: bytes) -> dict[str, Any] | None:
        """What the endpoint answered; None if it refused, because there is one."""
        try:
            answer: dict[str, Any] = client.put_object(
                Bucket=self._bucket,
                Key=self._prefix + name,
                Body=content,
                ContentType="text/plain; charset=utf-8",
                IfNoneMatch="*",
            )
            return answer
        except ClientError as error:
            if code_of(error) in _EXISTS:
                return None
            raise

    @contextmanager
    def _serves(self) -> Iterator[Any]:
        """The client, whose errors become ours."""
        try:
            if self._opened is None:
                # A session of its own: boto3's shared one keeps the credentials it saw first.
                self._opened = boto3.Session().client(
                    "s3",
                    endpoint_url=self._endpoint_url,
                    region_name=self._region,
                    config=Config(
                        connect_timeout=min(self._timeout, 10.0),
                        read_timeout=self._timeout,
                        retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
                    ),
                )
            yield self._opened
        except (BotoCoreError, ClientError, ResponseParserError, ValueError) as error:
            raise unavailable(self.label, error, self._timeout) from None
