"""What this process knows of the steps it executes: their open attempts, and what they touched.

The recorder opens a session when Dagster says that a step started, the IO manager and the gates
add to it, and the recorder writes it down when the step ends. It lives in memory only: after a
crash, the ledger has the attempt and what was bound, and the rest is lost with the process.
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from ro_platform.contracts import AttemptTransition, BoundRef, JobStatus, NamedArtifact
from ro_platform.errors import AttemptNotRecordedError
from ro_platform.plane import Plane
from ro_platform.runs.history import StepAttempts


@dataclass
class StepSession:
    """One step of one Dagster run, in this process."""

    attempts: StepAttempts
    inputs: list[NamedArtifact] = field(default_factory=list)
    outputs: list[NamedArtifact] = field(default_factory=list)
    code_version: str | None = None
    _scratch: tempfile.TemporaryDirectory[str] | None = None

    def folder(self) -> Path:
        """A private folder for inputs that are loaded as files; gone when the step ends."""
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="ro-inputs-")
        return Path(self._scratch.name)

    def clear(self) -> None:
        """Remove the private folder."""
        if self._scratch is not None:
            self._scratch.cleanup()

    def attempt(self, fingerprint: str, unit: str) -> AttemptTransition | None:
        """The attempt of one unit of work under one manifest."""
        for attempt in self.attempts:
            if attempt.manifest_fingerprint == fingerprint and attempt.unit == unit:
                return attempt
        return None

    def loaded(self, asset: str) -> BoundRef | None:
        """The artifact of that asset that this step was given."""
        return next((item.artifact for item in self.inputs if item.name == asset), None)


_sessions: dict[tuple[str, str], StepSession] = {}


def open_session(dagster_run_id: str, step_key: str, attempts: StepAttempts) -> StepSession:
    """Begin (or begin again) the session of a step."""
    session = StepSession(attempts)
    _sessions[dagster_run_id, step_key] = session
    return session


def find_session(dagster_run_id: str | None, step_key: str | None) -> StepSession | None:
    """The session of a step that this process executes."""
    return _sessions.get((dagster_run_id, step_key)) if dagster_run_id and step_key else None


def close_session(dagster_run_id: str, step_key: str) -> StepSession | None:
    """End the session of a step, and hand over what it noted."""
    session = _sessions.pop((dagster_run_id, step_key), None)
    if session:
        session.clear()
    return session


def require_session(plane: Plane, dagster_run_id: str, step_key: str) -> StepSession:
    """The session of a step that writes. Raises :class:`AttemptNotRecordedError`.

    Nothing is published by an execution that leaves no record.
    """
    session = find_session(dagster_run_id, step_key)
    if session is None:
        recorded = plane.attempts.of_dagster_run(dagster_run_id).get(step_key, ())
        running = tuple(item for item in recorded if item.status is JobStatus.RUNNING)
        session = open_session(dagster_run_id, step_key, running) if running else None
    if session is None:
        raise AttemptNotRecordedError(
            f"step {step_key!r} of Dagster run {dagster_run_id} has no running attempt on record.",
            next_step="Configure `storage` in dagster.yaml as this library's documentation shows, "
            "or use ro_platform.testing in tests: what is not recorded may not publish.",
            dagster_run_id=dagster_run_id,
        )
    return session
