"""The matrix: every fault at every boundary, played by two processes at a time."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from tests.integration.crash_points.cells import (
    MEMBERS,
    Finding,
    Trap,
    artifact,
    crossings,
    job_at,
    meet,
)
from tests.integration.crash_points.faults import Fault
from tests.integration.crash_points.tripwire import Boundary, Tripwire

_PROCESSES = 2
_CELLS_AT_A_TIME = 8
_Item = TypeVar("_Item")

Place = Callable[[int], str]
"""The URL of an empty ledger for the process of that id; "" for SQLite in the plane's folder."""


@dataclass(frozen=True)
class Cell:
    """One boundary, by its number, and one fault."""

    at: int
    boundary: Boundary
    fault: Fault

    def __str__(self) -> str:
        return f"{self.at} {self.boundary.step}, {self.boundary.words}: {self.fault}"


@dataclass(frozen=True)
class Matrix:
    """Every cell with what was found; with a text instead where something was not well."""

    findings: dict[Cell, Finding | str]

    @property
    def broken(self) -> dict[str, str]:
        """What was not well, by cell."""
        return {str(cell): text for cell, text in self.findings.items() if isinstance(text, str)}

    @property
    def well(self) -> dict[Cell, Finding]:
        """All the others."""
        return {cell: it for cell, it in self.findings.items() if isinstance(it, Finding)}


def play(
    folder: Path,
    place: Place,
    *,
    only: Callable[[Boundary], bool],
    members: Mapping[str, bytes] = MEMBERS,
) -> Matrix:
    """Find the boundaries, and meet every fault at each of those wanted."""
    files = artifact(folder / "files", members)
    boundaries = crossings(job_at(folder / "first" / "home", files, place(0)))
    cells = [
        Cell(at, boundary, fault)
        for at, boundary in enumerate(boundaries)
        if only(boundary)
        for fault in boundary.faults
    ]
    return Matrix(
        dict(zip(cells, in_two(partial(_play, folder, files, place), cells), strict=True))
    )


def in_two(work: Callable[[_Item], Finding | str], items: Sequence[_Item]) -> list[Finding | str]:
    """Its answers, in order, from two forked processes."""
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(_PROCESSES, mp_context=context) as pool:
        return list(pool.map(work, items, chunksize=_CELLS_AT_A_TIME))


def _play(folder: Path, files: Path, place: Place, cell: Cell) -> Finding | str:
    def trap(home: Path) -> Trap:
        return Tripwire(home, cell.at, cell.fault)

    return in_place(folder, place, files, trap)


def in_place(
    folder: Path, place: Place, files: Path, trap: Callable[[Path], Trap]
) -> Finding | str:
    """What is found on a plane of its own, which is gone afterwards; or what is not well."""
    number = os.getpid()
    home = folder / str(number) / "home"
    job = job_at(home, files, place(number))
    try:
        return meet(job, trap(home))
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to this cell
        return f"{type(error).__name__}: {error}"
    finally:
        shutil.rmtree(home.parent, ignore_errors=True)
