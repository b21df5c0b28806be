"""The law of run config: what decides an outcome is what the code gives, for that job and manifest.

A manifest says everything that decides the outcome of a run. Dagster lets whoever launches give
ops, resources and inputs other values, which no identity and no record would show. So what a run
was launched with must come to exactly what the code location gives that job for that manifest: the
job's own ``config``, its partitioned config, and defaults. Anything else is refused by its path.

``loggers`` see log lines only. Of ``execution`` a launch may set how much runs at once and whether
Dagster's steps are retried; an image, an environment or modules to load say what runs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import dagster as dg

from ro_platform import errors
from ro_platform.dagster_private.definitions import (
    config_of_job,
    has_step,
    job_of_run,
    loggers_of,
)
from ro_platform.kernel.digest import sha256_hex

_EXECUTION, _LOGGERS = "execution", "loggers"
_HOW = frozenset({"max_concurrent", "retries", "tag_concurrency_limits"})
_TO_DO = (
    "Leave it out of the launch: a parameter belongs into the manifest's `parameters`, a threshold "
    "into a pinned config, and what every run shares into the job's own config."
)
Config = Mapping[str, Any]


def own_config(job: dg.JobDefinition, fingerprint: str) -> Config:
    """All config that the code gives a job for a manifest; empty where it gives none.

    Raises :class:`RunConfigError` if the job's own function for it fails.
    """
    try:
        return config_of_job(job, fingerprint)
    except Exception as error:
        raise errors.RunConfigError(
            f"the config of job {job.name!r} cannot be made for manifest {fingerprint}: {error}",
            next_step="Correct the function that gives the job its partitioned config.",
            job=job.name,
        ) from error


def config_digest(config: Config) -> str | None:
    """SHA-256 (64 hex) of what a config decides, as it is written: an environment variable by its
    name. None where it decides nothing."""
    decides = _deciding(config)
    return (
        sha256_hex(json.dumps(decides, sort_keys=True, default=str).encode()) if decides else None
    )


def config_of_part(job: dg.JobDefinition, config: Config) -> Config:
    """A job's config for a part of it, without the steps that the part does not have: Dagster
    passes them over in a worker, and refuses them in process."""
    ops = config.get("ops")
    if not ops:
        return config
    return {**config, "ops": {name: ops[name] for name in ops if has_step(job, name)}}


def quiet(job: dg.JobDefinition, config: Config) -> tuple[dg.JobDefinition, Config]:
    """The job and its config with Dagster's own console silent.

    Loggers that the config names are left as they are. Where it names none Dagster takes its own,
    whatever other loggers the code location has.
    """
    if config.get(_LOGGERS):
        return job, config
    if job.has_specified_loggers:
        job = loggers_of(job, {"console": dg.colored_console_logger})
    return job, {**config, _LOGGERS: {"console": {"config": {"log_level": "CRITICAL"}}}}


def require_own_config(
    job: dg.JobDefinition | None,
    run: dg.DagsterRun,
    fingerprints: Collection[str],
    executed: Collection[str] = (),
) -> str | None:
    """Raise :class:`RunConfigError` unless a run has the config that the code gives its job.

    ``job`` is the one of that name in the code location; None, such as for a job that is made
    where it is executed, is given no config. ``executed`` are the ops and graphs at the job's
    top that the run executes: what the code gives others may be left out.

    Answers the digest of what the code gives.
    """
    given = run.run_config or {}
    own = _own_of_all(job, fingerprints) if job else {}
    _require_executor(given, own, run.job_name)
    digest = config_digest(own)
    if executed and own.get("ops"):
        launched: Any = given.get("ops") or {}
        kept = {*executed, *launched}
        own = {**own, "ops": {name: own["ops"][name] for name in own["ops"] if name in kept}}
    before, now = _deciding(own), _deciding(given)
    if not before and not now:
        return digest
    if job is None:
        raise _refused(next(_leaves(now))[0], run.job_name)
    job = job_of_run(job, run)
    if not _is_same(before, now):
        _require_same(job, given, own)
    _require_no_environment(job, now)
    return digest


def _own_of_all(job: dg.JobDefinition, fingerprints: Collection[str]) -> Config:
    """What the code gives for each manifest of a run, which has only one config for all."""
    found = [own_config(job, fingerprint) for fingerprint in sorted(fingerprints)]
    if any(_deciding(other) != _deciding(found[0]) for other in found[1:]):
        raise errors.RunConfigError(
            f"job {job.name!r} gives the {len(found)} manifests of this run different configs, and "
            "a run has one.",
            next_step="Launch a run for each manifest.",
            job=job.name,
        )
    return found[0] if found else {}


def _deciding(config: Config) -> dict[str, Any]:
    return {
        name: value
        for name, value in config.items()
        if name not in (_EXECUTION, _LOGGERS) and value
    }


def require_complete(job: dg.JobDefinition, config: Config) -> None:
    """Raise :class:`RunConfigError` for a job that cannot run with what the code gives it: a value
    that is required and given nowhere, or one of another type."""
    try:
        dg.validate_run_config(job, dict(config))
    except dg.DagsterInvalidConfigError as error:
        first = error.errors[0].message if error.errors else str(error)
        raise errors.RunConfigError(
            f"job {job.name!r} cannot run with the config that the code gives it: {first}",
            next_step="Give the value a default, or the job a `config` of its own.",
            job=job.name,
        ) from error


def _require_same(job: dg.JobDefinition, given: Config, own: Config) -> None:
    """Compare what both come to, with defaults filled in and names of the environment resolved."""
    differs = _difference(given.get("inputs") or {}, own.get("inputs") or {}, ("inputs",))
    if differs is None:
        now, before = _resolved(job, given), _resolved(job, own)
        if before is None or now is None:
            differs = _difference(_deciding(given), _deciding(own), ())
        else:
            differs = _difference(now, before, ())
    if differs is not None:
        raise _refused(differs, job.name)


def _resolved(job: dg.JobDefinition, config: Config) -> dict[str, Any] | None:
    """What a config comes to; None where Dagster does not take it for this job."""
    silent = {name: section for name, section in config.items() if name != _LOGGERS}
    try:
        resolved = dg.validate_run_config(job, silent)
    except dg.DagsterInvalidConfigError:
        return None
    return {name: resolved[name] for name in ("ops", "resources")}


def _require_executor(given: Config, own: Config, job: str) -> None:
    wanted, gives = (
        {
            path: value
            for path, value in _leaves(config.get(_EXECUTION) or {}, (_EXECUTION,))
            if not _is_how(path) and value not in (None, {})
        }
        for config in (given, own)
    )
    for path in sorted(wanted):
        if path not in gives or not _is_same(gives[path], wanted[path]):
            raise _refused(path, job)


def _is_how(path: tuple[str, ...]) -> bool:
    """Whether a path says how much runs at once or is retried: a setting of the executor itself,
    or of the one that is chosen, and never a name that is further within, such as a variable's."""
    own, chosen = path[2:3], path[4:5] if path[3:4] == ("config",) else path[3:4]
    return path[1:2] == ("config",) and bool(_HOW & {*own, *chosen})


def _require_no_environment(job: dg.JobDefinition, config: Config) -> None:
    """Two processes may see other values there, and no record says which. Resources may have
    such: where a service is, and a secret, are the deployment's."""
    ops = config.get("ops") or {}
    names = Counter(_variables(ops))
    if not names:
        return
    resolved = _resolved(job, config) or {}
    read = names - Counter(_variables(resolved.get("ops", {})))
    if read:
        name = min(read)
        raise errors.RunConfigError(
            f"the config of job {job.name!r} takes a value of `ops` from the environment variable "
            f"{name}.",
            next_step="Write the value into the job's config, the manifest or a pinned config: "
            "what decides an outcome is the same in every process.",
            job=job.name,
        )


def _variables(value: Any) -> Iterator[str]:
    """The names in all ``{"env": NAME}`` below a value."""
    if isinstance(value, Mapping):
        if set(value) == {"env"} and isinstance(value["env"], str):
            yield value["env"]
        for below in value.values():
            yield from _variables(below)
    elif isinstance(value, list | tuple):
        for below in value:
            yield from _variables(below)


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping) and value:
        for name, below in value.items():
            yield from _leaves(below, (*path, str(name)))
    else:
        yield path, value


def _difference(one: Any, other: Any, path: tuple[str, ...]) -> tuple[str, ...] | None:
    """Where two configs differ first; None if they are equal."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in sorted({*one, *other}, key=str):
            below = (*path, str(name))
            # What is given as nothing is not what is not given: code that takes any names sees it.
            if name not in one or name not in other:
                return below
            found = _difference(one[name], other[name], below)
            if found is not None:
                return found
        return None
    return None if _is_same(one, other) else path


def _is_same(one: Any, other: Any) -> bool:
    """Equal in value and type: 1, 1.0 and true are equal to Python, and other values to code."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return _difference(one, other, ()) is None
    return type(one) is type(other) and bool(one == other)


def _refused(path: tuple[str, ...], job: str) -> errors.RunConfigError:
    name = ".".join(path)
    return errors.RunConfigError(
        f"run config `{name}` is not what the code gives job {job!r} for this manifest, and a "
        "launch decides nothing beside its manifest.",
        next_step=_TO_DO,
        path=name,
        job=job,
    )
