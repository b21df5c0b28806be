"""Faults planted in the product, each of which the matrix must find: else it proves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

from ro_platform.artifacts.backends.filesystem import FilesystemBackend
from ro_platform.artifacts.backends.memory import MemoryBackend
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.gates.receipts import Receipts
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import sha256_hex
from ro_platform.ledger.log import Ledger
from ro_platform.runs.history import AttemptHistory
from tests.integration.crash_points.publication import Pipe


def entry_before_receipt() -> AbstractContextManager[object]:
    """The verdict is recorded first, and its receipt written afterwards."""
    record = Receipts.record

    def recorded_first(receipts: Receipts, receipt: Any, **options: Any) -> Any:
        elsewhere = ArtifactStore(MemoryBackend())
        with mock.patch.object(ArtifactStore, "put_receipt", lambda _, it: put(elsewhere, it)):
            done = record(receipts, receipt, **options)
        put(receipts._store, receipt)
        return done

    put = ArtifactStore.put_receipt
    return mock.patch.object(Receipts, "record", recorded_first)


def told_before_commit() -> AbstractContextManager[object]:
    """Whoever appends is told of the entries while they are not committed."""
    write = Ledger._write

    @contextmanager
    def telling(pipe: Pipe) -> Iterator[None]:
        def told(ledger: Ledger, *args: Any) -> Any:
            entries, frontier = write(ledger, *args)
            for entry in entries:
                pipe.say(seq=entry.seq, entry=sha256_hex(canonical_bytes(entry)))
            return entries, frontier

        with mock.patch.object(Ledger, "_write", told):
            yield

    return mock.patch.object(Pipe, "acknowledging", telling)


def names_not_durable() -> AbstractContextManager[object]:
    """An object's bytes are made durable, and its name is not."""
    return mock.patch.object(FilesystemBackend, "settle", return_value=None)


def nobody_ends_attempts() -> AbstractContextManager[object]:
    """Reconciliation judges, and does not write."""
    return mock.patch.object(AttemptHistory, "end", return_value=None)
