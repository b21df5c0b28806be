"""What this process knows of the steps it executes: their open attempts, and what they touched.

The recorder opens a session when Dagster says that a step started, the IO manager and the gates
add to it, and the recorder writes it down when the step ends. It lives in memory only: after a
crash, the ledger has the attempt and what was bound, and the rest is lost with the process.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from ro_platform import errors
from ro_platform.artifacts.addressing import parse_binding
from ro_platform.contracts import AttemptTransition, BoundRef, JobStatus, NamedArtifact
from ro_platform.orchestration.declarations import Declarations
from ro_platform.plane import Plane
from ro_platform.runs.history import StepAttempts


@dataclass
class StepSession:
    """One step of one Dagster run, in this process. ``code_versions`` are by unit of work."""

    attempts: StepAttempts
    inputs: list[NamedArtifact] = field(default_factory=list)
    outputs: list[NamedArtifact] = field(default_factory=list)
    code_versions: dict[str, str] = field(default_factory=dict)
    materialized: set[str] = field(default_factory=set)
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

    def left_out(self, unit: str) -> bool:
        """Whether a step that succeeded did not put out an asset, as it may an optional one."""
        return "#" not in unit and unit not in self.materialized

    def note(self, name: str, ref: BoundRef) -> None:
        """That the step was given an artifact, under that name."""
        item = NamedArtifact(name=name, artifact=ref)
        if item not in self.inputs:
            self.inputs.append(item)

    def loaded(self, asset: str, fingerprint: str | None = None) -> BoundRef | None:
        """The artifact of that asset (under that manifest) that this step was given."""
        for item in self.inputs:
            address = parse_binding(item.artifact.ref)
            if item.name == asset and (
                fingerprint is None or (address and address.fingerprint == fingerprint)
            ):
                return item.artifact
        return None


_sessions: dict[tuple[str, str], StepSession] = {}
_declared: dict[str, Declarations] = {}
_given: dict[tuple[str, str], list[NamedArtifact]] = {}
_in_hand: ContextVar[str | None] = ContextVar("manifest in hand", default=None)
_evidence: ContextVar[list[BoundRef] | None] = ContextVar("evidence", default=None)


def declare(dagster_run_id: str, declarations: Declarations) -> None:
    """Keep what the code location declares, for the steps of a run in this process."""
    _declared[dagster_run_id] = declarations


def declarations_of(dagster_run_id: str) -> Declarations:
    """What the code location of a run declares; nothing if its plane was not set up here."""
    return _declared.get(dagster_run_id) or Declarations()


def give(dagster_run_id: str, asset: str, item: NamedArtifact) -> None:
    """Note what a step inside a graph-backed asset was given: it is the asset's input."""
    _given.setdefault((dagster_run_id, asset), []).append(item)


def given(dagster_run_id: str, asset: str) -> list[NamedArtifact]:
    """What the steps inside a graph-backed asset were given in this process."""
    return _given.get((dagster_run_id, asset), [])


def forget_run(dagster_run_id: str) -> None:
    """A run has ended: nothing more is asked about it."""
    _declared.pop(dagster_run_id, None)
    for key in [key for key in _given if key[0] == dagster_run_id]:
        del _given[key]


@contextmanager
def judging(fingerprint: str) -> Iterator[list[BoundRef]]:
    """While a gate judges one manifest's artifact; gives the evidence that it keeps."""
    kept: list[BoundRef] = []
    hand, evidence = _in_hand.set(fingerprint), _evidence.set(kept)
    try:
        yield kept
    finally:
        _in_hand.reset(hand)
        _evidence.reset(evidence)


def manifest_in_hand() -> str | None:
    """The manifest whose artifact a gate judges just now."""
    return _in_hand.get()


def keep_evidence(ref: BoundRef) -> None:
    """Make an artifact the evidence of the verdict at hand. Raises :class:`InvalidInputError`."""
    kept = _evidence.get()
    if kept is None or kept:
        raise errors.InvalidInputError(
            "evidence is kept once by each verdict of a gate"
            + (", and this one has its own already." if kept else ", and no gate judges here."),
            next_step="Put several findings into one table or one JSON document.",
        )
    kept.append(ref)


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
        raise errors.AttemptNotRecordedError(
            f"step {step_key!r} of Dagster run {dagster_run_id} has no running attempt on record.",
            next_step="Configure `storage` in dagster.yaml as this library's documentation shows, "
            "or use ro_platform.testing in tests: what is not recorded may not publish.",
            dagster_run_id=dagster_run_id,
        )
    return session
