"""What ``ro run`` says about files, code and packages that changed since what stands was made."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ro_platform import errors
from ro_platform.cli.output import err, out, short
from ro_platform.plane import Plane
from ro_platform.runs.changes import (
    AssetChange,
    FileChange,
    RuntimeChange,
    changed_assets,
    changed_files,
    changed_runtime,
    code_of_now,
    require_unchanged,
    under_code,
)
from ro_platform.runs.manifest import ManifestFile

if TYPE_CHECKING:
    from ro_platform.orchestration.execution import GovernedRun

F = TypeVar("F", bound=Callable[..., Any])
_SHOWN = 8


@dataclass(frozen=True)
class WhenChanged:
    """What is to be done about a change: refuse, or make another manifest (and write it there)."""

    strict: bool
    recompute: bool
    write_to: Path | None

    @property
    def is_asked(self) -> bool:
        """Whether anything but telling is asked for."""
        return self.strict or self.recompute or self.write_to is not None


@dataclass(frozen=True)
class Changes:
    """What changed, and the manifest that was made of it, if one was asked for."""

    plane: Plane
    files: Sequence[FileChange]
    assets: Sequence[AssetChange]
    old_fingerprint: str | None = None

    def facts(self) -> dict[str, Any]:
        """The same for ``--json``."""
        return {
            "files": [item.facts for item in self.files],
            "assets": [self._asset_facts(item) for item in self.assets],
            "recomputed_from": self.old_fingerprint,
        }

    def _asset_facts(self, item: AssetChange) -> dict[str, Any]:
        return {
            "asset": item.asset,
            "attempt_id": item.attempt.attempt_id,
            "code_known": item.is_known,
            "code_before": item.code_before,
            "code_now": item.code_now,
            "job_config_before": item.attempt.job_config_digest,
            "job_config_now": item.job_config_now,
            "made_from": list(item.made_from),
            "runtime": [
                {"name": each.name, "before": each.before, "now": each.now}
                for each in self._runtime(item)
            ],
        }

    def show(self) -> None:
        """Say it below the table; nothing where nothing changed."""
        for file in self.files:
            out.print(f"warning: {file.words}", style="yellow", markup=False)
        if self.old_fingerprint:
            return
        for asset in self.assets:
            out.print(f"warning: {_words(asset)}", style="yellow", markup=False)
        for names, runtime in self._by_runtime().items():
            out.print(f"warning: {names} made with {runtime}", style="yellow", markup=False)
        if self.assets:
            out.print(
                "  next: `--recompute-changed` makes another manifest for the code of now; "
                "`--replay` proves that it gives the same bytes",
                markup=False,
            )

    def _by_runtime(self) -> dict[str, str]:
        """What differs of the runtime, in words, for all assets together of which it does."""
        groups: dict[str, list[str]] = {}
        for item in self.assets:
            if item.by_other_packages:
                groups.setdefault(_runtime_words(self._runtime(item)), []).append(item.asset)
        return {", ".join(assets): words for words, assets in groups.items()}

    def _runtime(self, item: AssetChange) -> list[RuntimeChange]:
        before = item.attempt.runtime
        return changed_runtime(self.plane.store, before, item.runtime_now) if before else []


def options(command: F) -> F:
    """Add the options about changes; the command gets one :class:`WhenChanged`."""

    @click.option(
        "--strict",
        is_flag=True,
        help="Refuse where an input file, the code or the packages are not those of what stands.",
    )
    @click.option(
        "--recompute-changed",
        is_flag=True,
        help="Where the code or the packages changed: run a manifest with the `code` of now.",
    )
    @click.option(
        "--write",
        type=click.Path(path_type=Path),
        help="With --recompute-changed: write that manifest to this new file.",
    )
    @functools.wraps(command)
    def run(
        *args: Any, strict: bool, recompute_changed: bool, write: Path | None, **kwargs: Any
    ) -> Any:
        return command(*args, when_changed=WhenChanged(strict, recompute_changed, write), **kwargs)

    return run  # type: ignore[return-value]  # what click calls


def files_of(plane: Plane, file: ManifestFile, when: WhenChanged) -> list[FileChange]:
    """The files that changed. Raises for the first with ``--strict``; writes nothing."""
    if when.strict and when.recompute:
        raise click.UsageError("--strict refuses what --recompute-changed would compute.")
    if when.write_to and not when.recompute:
        raise click.UsageError("--write goes with --recompute-changed.")
    found = changed_files(plane.store, plane.configs, file)
    if when.strict:
        require_unchanged(found, [])
    return found


def since(run: GovernedRun, files: Sequence[FileChange], when: WhenChanged) -> Changes:
    """What changed since what the run would keep was made. Raises with ``--strict``."""
    kept = run.kept
    attempts = run.plane.attempts.of_run(run.file.fingerprint) if kept else []
    assets = changed_assets(
        kept, attempts, run.workload.code_versions, run.job_config_digest if kept else None
    )
    if when.strict:
        require_unchanged([], assets)
    return Changes(run.plane, files, assets)


def recomputed(run: GovernedRun, when: WhenChanged) -> ManifestFile:
    """The manifest that is the run's but for its ``code``: that of now. Says so, and writes it
    where it was asked to. Raises :class:`InvalidInputError` for a file that is there already."""
    workload = run.workload
    new = under_code(
        run.file, code_of_now(workload.code_versions, workload.rules, run.job_config_digest)
    )
    err.print(
        f"the code or the packages changed: this is another manifest, {new.fingerprint} "
        f"(code {new.manifest.code.version}); {run.file.fingerprint} stands as it was",
        style="yellow",
        markup=False,
    )
    if when.write_to:
        _write(when.write_to, new)
        err.print(f"written to {when.write_to}", markup=False)
    return new


def _write(path: Path, file: ManifestFile) -> None:
    text = json.dumps(file.manifest.to_json_value(), indent=2, ensure_ascii=False)
    try:
        with path.open("x") as target:
            target.write(text + "\n")
    except OSError as error:
        raise errors.InvalidInputError(
            f"the manifest cannot be written to {path}: {error.strerror}.",
            next_step="Name a new file beside the old manifest, so that its inputs are found.",
        ) from None


def _words(item: AssetChange) -> str:
    made = f"{item.asset} (attempt #{item.attempt.number} {item.attempt.attempt_id[:8]})"
    if not item.is_known:
        return f"{made}: not known by which code (recorded before code digests)"
    parts = []
    if item.by_other_code:
        before, now = _version(item.code_before), _version(item.code_now)
        parts.append(f"made by other code than now: {before} -> {now}")
    if item.by_other_config:
        parts.append("made with another config of its job")
    if item.made_from:
        parts.append(f"made from {', '.join(item.made_from)}, which other code made")
    return f"{made}: {'; '.join(parts) or 'made by other packages than now'}"


def _version(code: str | None) -> str:
    """A code version for a person: of a long digest, its kind and its first 12 digits."""
    if code is None:
        return "(none declared)"
    kind, _, digest = code.rpartition("-")
    return f"{kind}-{short(digest)}" if kind and len(digest) == 64 else code


def _runtime_words(changes: Sequence[RuntimeChange]) -> str:
    words = [f"{c.name} {_there(c.before)} -> {_there(c.now)}" for c in changes[:_SHOWN]]
    more = len(changes) - _SHOWN
    return ", ".join(words) + (f" and {more} more (--json)" if more > 0 else "")


def _there(version: str | None) -> str:
    if version is None:
        return "(not there)"
    return short(version) if len(version) == 64 else version
