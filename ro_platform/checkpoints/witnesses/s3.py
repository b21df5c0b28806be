"""An S3 bucket as a witness: best in another account, with object lock, writable and not erasable.

``PutObject`` with ``If-None-Match: *`` creates only. Any S3 endpoint that honours it serves.
Credentials come from where boto3 finds them; none is part of the address.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ro_platform.checkpoints.witnesses.base import Witness, require_same
from ro_platform.errors import BackendUnavailableError, NotFoundError
from ro_platform.kernel.signing import MAX_NOTE_BYTES

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

_EXISTS = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")
_MISSING = ("NoSuchKey", "404")


class S3Witness(Witness):
    """Notes as objects below ``prefix`` of a bucket."""

    def __init__(
        self, bucket: str, prefix: str, *, endpoint_url: str | None, region: str | None
    ) -> None:
        super().__init__(f"s3://{bucket}/{prefix}".rstrip("/"))
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._endpoint_url = endpoint_url
        self._region = region
        self._opened: Any = None

    def keep(self, name: str, note: bytes) -> None:
        """See :class:`Witness`."""
        key = self._prefix + name
        with self._serves() as client:
            try:
                client.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=note,
                    ContentType="text/plain; charset=utf-8",
                    IfNoneMatch="*",
                )
                return
            except client.exceptions.ClientError as error:
                if _code(error) not in _EXISTS:
                    raise
        # Also where the first try was answered too late and boto3 repeated it.
        require_same(self.label, name, self.read(name), note)

    def names(self, origin: str) -> list[str]:
        """See :class:`Witness`."""
        with self._serves() as client:
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=f"{self._prefix}{origin}/"
            )
            keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return sorted(str(key).removeprefix(self._prefix) for key in keys)

    def read(self, name: str) -> bytes:
        """See :class:`Witness`."""
        with self._serves() as client:
            try:
                answer = client.get_object(Bucket=self._bucket, Key=self._prefix + name)
                return bytes(answer["Body"].read(MAX_NOTE_BYTES + 1))
            except client.exceptions.ClientError as error:
                if _code(error) not in _MISSING:
                    raise
        raise NotFoundError(f"The witness {self.label} has no {name}.", witness=self.label)

    @contextmanager
    def _serves(self) -> Iterator[Any]:
        """The client, whose errors become ours."""
        # Imported where it is used: it would slow down every command.
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

        try:
            if self._opened is None:
                config = Config(connect_timeout=10, read_timeout=30, retries={"max_attempts": 3})
                self._opened = boto3.client(
                    "s3",
                    endpoint_url=self._endpoint_url,
                    region_name=self._region,
                    config=config,
                )
            yield self._opened
        except (BotoCoreError, ClientError, HTTPClientError, ValueError) as error:
            raise BackendUnavailableError(
                f"The witness {self.label} does not serve: {error}.",
                next_step="What it lacks is handed over with the next checkpoint.",
                witness=self.label,
            ) from None


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
