"""The manifest inbox: a manifest that is put into a folder is registered once and launched."""

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import dagster as dg

from ro_platform import errors
from ro_platform.config.settings import Settings
from ro_platform.contracts import Action
from ro_platform.kernel.digest import sha256_hex
from ro_platform.kernel.files import chunks_of
from ro_platform.orchestration.launches import pause_words
from ro_platform.orchestration.partitions import register_manifest
from ro_platform.orchestration.resource import PlaneResource
from ro_platform.plane import Plane
from ro_platform.runs.manifest import read_manifest_file

INBOX_ACTOR = "SYSTEM::manifest-inbox"
MANIFESTS_A_TICK = 25
_SUFFIXES = {".yaml", ".yml", ".json"}


class WorkloadJob(Protocol):
    """A job that manifests can name as their workload, as ``dg.define_asset_job`` makes it."""

    @property
    def name(self) -> str:
        """What a manifest's ``workload`` says."""


def manifest_inbox(
    workloads: Sequence[WorkloadJob],
    *,
    minimum_interval_seconds: int = 15,
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.RUNNING,
) -> dg.SensorDefinition:
    """A sensor over the folder ``RO_MANIFEST_INBOX`` that launches these workloads.

    A tick takes at most 25 files, in the order of their names. The cursor holds the digest of each
    file that was dealt with, so a file is looked at again only when it changes. A manifest that is
    refused is left where it is, and said why in the sensor's log; the others go on. While the plane
    is paused it skips, and finds the files afterwards; what it launches while only a workload is
    paused waits in the queue.
    """
    jobs: list[Any] = list(workloads)
    names = [job.name for job in workloads]

    @dg.sensor(
        jobs=jobs,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=default_status,
        description="Registers and launches the manifests that are put into the inbox folder.",
    )
    def manifest_inbox(
        context: dg.SensorEvaluationContext, plane: PlaneResource
    ) -> dg.SensorResult:
        if paused := pause_words(plane.plane):
            return dg.SensorResult(skip_reason=dg.SkipReason(paused), cursor=context.cursor)
        try:
            actor = _registrar(plane.plane)
        except errors.AccessDeniedError as error:
            return dg.SensorResult(skip_reason=dg.SkipReason(str(error)), cursor=context.cursor)
        seen: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
        requests = []
        for path, digest in _unseen(Settings.load().manifest_inbox, seen, context.log):
            seen[path.name] = digest
            try:
                file = read_manifest_file(path)
                register_manifest(plane.plane, context.instance, file, workloads=names, actor=actor)
            except errors.RunOperateError as error:
                if isinstance(error, errors.BackendUnavailableError | errors.OutcomeUnknownError):
                    del seen[path.name]  # nothing is wrong with the manifest: try again
                context.log.error(f"{path.name} was refused. {error}")
                continue
            requests.append(
                dg.RunRequest(
                    run_key=file.fingerprint,
                    job_name=file.manifest.workload,
                    partition_key=file.fingerprint,
                )
            )
        return dg.SensorResult(run_requests=requests, cursor=json.dumps(seen, sort_keys=True))

    return manifest_inbox


def _registrar(plane: Plane) -> str:
    """In whose name manifests are registered: under a policy whoever's token this process has, if
    they may. Raises :class:`AccessDeniedError`."""
    if plane.access.in_force is None:
        return INBOX_ACTOR
    return plane.identity.require(Action.REGISTER, plane.access.target("the manifest inbox"))


def _unseen(folder: Path, seen: dict[str, str], log: logging.Logger) -> Iterator[tuple[Path, str]]:
    """Files that are new or changed, a bounded batch in the order of their names."""
    found = 0
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix not in _SUFFIXES or path.name.startswith(".") or not path.is_file():
            continue
        try:
            digest = sha256_hex(b"".join(chunks_of(path)))
        except OSError as error:
            log.error(f"{path.name} cannot be read: {error.strerror}.")
            continue
        if seen.get(path.name) != digest:
            yield path, digest
            found += 1
        if found == MANIFESTS_A_TICK:
            return
