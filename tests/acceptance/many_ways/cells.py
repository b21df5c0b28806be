"""The table's plan: the ways in, the states, which manifest and which assets each cell is about.

Four families of assets share one shape: a producer ``<family>/source`` and its readers. ``pruned``
declares one gate less than is on record. What the daemon starts by itself, when a producer changes,
has producers of its own (``eager``, ``conditioned``), so that it starts nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PRUNED = "pruned"
FAMILIES = ("main", "eager", "conditioned")
PER_WAY = ("pass", "race")
"""What a way in changes for good: there, each way has a manifest of its own."""


@dataclass(frozen=True)
class State:
    """How a producer's artifact stands. ``code`` is None where it may be read.

    ``admission`` says whether the run coordinator can see it before a worker starts.
    """

    name: str
    words: str
    code: str | None
    admission: bool = True


@dataclass(frozen=True)
class Way:
    """One way to start a consumer. ``coordinated`` ways pass by the run coordinator."""

    name: str
    words: str
    coordinated: bool = True
    family: str = "main"
    producer: str = "source"
    reader: str = ""
    twin: str | None = None

    @property
    def consumer(self) -> str:
        """The name of the asset that is started, within its family."""
        return self.reader or self.name


STATES = (
    State("pass", "every gate has a PASS for these bytes", None),
    State("absent", "never checked", "RO_GATE_ABSENT"),
    State("failed", "FAIL", "RO_GATE_FAILED"),
    State("older", "PASS for older bytes", "RO_GATE_OLDER_BYTES"),
    State("stale", "PASS under an older rule", "RO_GATE_STALE"),
    State("revoked", "PASS revoked", "RO_GATE_REVOKED"),
    State("blocked", "made from what was revoked", "RO_ARTIFACT_BLOCKED"),
    State("receipt", "receipt altered on disk", "RO_RECEIPT_UNVERIFIABLE"),
    State("missing", "never made", "RO_ARTIFACT_NOT_FOUND"),
    State("gone", "bytes gone from disk", "RO_ARTIFACT_NOT_FOUND", admission=False),
    State(
        "altered",
        "bytes altered on disk, and their binding with them",
        "RO_DIGEST_MISMATCH",
        admission=False,
    ),
    State("shrank", "the code has one gate less", "RO_GATE_SET_SHRANK", admission=False),
    State("race", "made again after admission", "RO_GATE_OLDER_BYTES", admission=False),
    State("forged", "PASS forged through Dagster", "RO_GATE_ABSENT"),
    State("lost", "FAIL whose partition Dagster lost", "RO_GATE_FAILED"),
    State("planted", "binding planted in the store", "RO_ARTIFACT_UNRECORDED"),
    State("drafted", "draft PASS, copied into the store", "RO_GATE_ABSENT"),
)

WAYS = (
    Way("launched", "UI: launch a job (launchRun)"),
    Way("selected", "UI: materialize assets (launchRun)"),
    Way("again", "re-execution of all steps"),
    Way("resumed", "re-execution from failure", reader="again"),
    Way("materialized", "dagster asset materialize", coordinated=False),
    Way("submitted", "dagster job launch"),
    Way("backfilled", "dagster job backfill"),
    Way("sensed", "sensor's RunRequest"),
    Way("scheduled", "schedule"),
    Way("eager", "automation: eager()", family="eager"),
    Way("conditioned", "automation: own condition", family="conditioned"),
    Way("spread", "asset backfill, run each"),
    Way("ranged", "asset backfill, single run"),
    Way("inside", "in-process executor", coordinated=False),
    Way("outspread", "multiprocess executor"),
    Way("retried", "op retries", coordinated=False),
    Way("abroad", "another code location"),
    Way("follower", "deps-only edge", coordinated=False),
    Way("twins", "multi-asset", coordinated=False, reader="left", twin="right"),
    Way("drawn", "graph-backed asset", coordinated=False),
    Way("sketched", "deps-only graph-backed asset", coordinated=False),
    Way("guest", "of an external asset", coordinated=False, producer="outside"),
    Way("scripted", "dg.materialize in a script", coordinated=False),
    Way("ran", "ro run", coordinated=False),
    Way("draft", "ro run --draft", coordinated=False, reader="ran"),
)

_NO_DECLARATION = "the consumer's code location does not declare that producer's gates"
NO_CELL = {
    ("abroad", "shrank"): _NO_DECLARATION,
    ("guest", "shrank"): _NO_DECLARATION,
    ("guest", "lost"): "Dagster does not make that producer, so no backfill judges it",
}
"""The cells that cannot exist, and why."""

# In the order of registration, which is the order of Dagster's ranges.
CHECKED = ("failed", "older", "revoked", "receipt")
UNMADE = ("planted", "missing")
UNCHECKED = ("absent", "forged", "drafted")
SEEN = (*CHECKED, *UNCHECKED, "blocked", "stale", "lost", *UNMADE)
_RANGED = ("pass-ranged", "race-ranged", "altered", "gone", "shrank")


def beside(name: str) -> str:
    """The passing manifest in one range with that one."""
    return f"beside-{name}"


def own(state: str, way: str) -> str:
    """The manifest of a state that a way changes for good."""
    return f"{state}-{way}"


def manifests() -> list[str]:
    """Every manifest's name, in the order of registration: no two ranges touch each other."""
    spacers = [
        own(state, way.name)
        for way in WAYS
        for state in PER_WAY
        if way.name != "ranged" and way.family == "main"
    ]
    ordered = [beside("seen"), *SEEN]
    for name in _RANGED:
        ordered += [spacers.pop(0), beside(name), name]
    ordered += spacers
    for way in WAYS:
        if way.family != "main":
            ordered += [own(state, way.name) for state in PER_WAY]
    return ordered


def ranges(state: State) -> tuple[str, str]:
    """The first and last manifest of the range in which the single-run backfill meets a state."""
    if state.name in SEEN:
        return beside("seen"), SEEN[-1]
    name = own(state.name, "ranged") if state.name in PER_WAY else state.name
    return beside(name), name


@dataclass(frozen=True)
class Cell:
    """One way in, one state."""

    way: Way
    state: State

    @property
    def family(self) -> str:
        """Whose producer is read."""
        return PRUNED if self.state.name == "shrank" else self.way.family

    @property
    def consumer(self) -> str:
        """The unit of work that reads."""
        return f"{self.family}/{self.way.consumer}"

    @property
    def consumers(self) -> tuple[str, ...]:
        """All that the reading step makes."""
        twin = self.way.twin
        return (self.consumer, *([f"{self.family}/{twin}"] if twin else []))

    @property
    def producer(self) -> str:
        """The asset that is read."""
        return f"{self.family}/{self.way.producer}"

    @property
    def job(self) -> str:
        """The job that makes the consumer."""
        return f"{self.family}_{self.way.consumer}"

    @property
    def manifest(self) -> str:
        """The name of its manifest."""
        name = self.state.name
        return own(name, self.way.name) if name in PER_WAY else name

    @property
    def is_draft(self) -> bool:
        """Whether what it leaves is in a draft, and not on the governed record."""
        return self.way.name == "draft"

    @property
    def status(self) -> str:
        """How the consumer's attempt must end."""
        if self.state.code is None:
            return "SUCCEEDED"
        return "REFUSED" if self.way.coordinated and self.state.admission else "FAILED"

    def __str__(self) -> str:
        return f"{self.way.name}, {self.state.name}"


def cells() -> list[Cell]:
    """Every cell that exists."""
    return [
        Cell(way, state)
        for way in WAYS
        for state in STATES
        if (way.name, state.name) not in NO_CELL
    ]


def cells_of(way: str) -> list[Cell]:
    """The cells of one way."""
    return [cell for cell in cells() if cell.way.name == way]


def content(asset: str, fingerprint: str, edition: int) -> dict[str, Any]:
    """What a producer makes: other bytes for each asset, manifest and edition."""
    return {"of": asset, "under": fingerprint, "edition": edition, "padding": "." * 1000}
