"""What a piece of work may know: its manifest, the configs it pins, and its inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from ro_platform import errors
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.config.versions import ConfigVersions
from ro_platform.contracts import ArtifactRef, BoundRef, JsonObject, ManifestInput, RunManifest
from ro_platform.gates.guard import Guard
from ro_platform.kernel.identity import run_id
from ro_platform.runs.registry import RunRegistry, input_ref

_declared_configs: ContextVar[frozenset[str] | None] = ContextVar("declared", default=None)


@contextmanager
def only_declared_configs(names: frozenset[str]) -> Iterator[None]:
    """While a gate judges: its rule names its configs, so it may read no others."""
    token = _declared_configs.set(names)
    try:
        yield
    finally:
        _declared_configs.reset(token)


class RunScope:
    """One run as its assets and gates see it. ``used`` is told of each artifact that is read.

    ``plane.run(context)`` gives it to an asset or a gate:

    >>> from ro_platform import RunScope
    >>> def rows(run: RunScope) -> int:
    ...     limits = run.config("limits")  # in the version that the manifest pins
    ...     return min(int(run.parameters["rows"]), int(limits["rows"]))
    """

    def __init__(
        self,
        fingerprint: str,
        manifest: RunManifest,
        store: ArtifactStore,
        configs: ConfigVersions,
        runs: RunRegistry,
        guard: Guard,
        used: Callable[[str, BoundRef], None] = lambda _name, _ref: None,
    ) -> None:
        self.fingerprint = fingerprint
        self.manifest = manifest
        self._store = store
        self._configs = configs
        self._runs = runs
        self._guard = guard
        self._used = used

    @property
    def run_id(self) -> str:
        """The run's id (32 hex), derived from the fingerprint."""
        return run_id(self.fingerprint)

    @property
    def parameters(self) -> JsonObject:
        """The manifest's parameters."""
        return self.manifest.parameters

    @property
    def seed(self) -> int | None:
        """The manifest's seed, a uint64."""
        return self.manifest.seed

    def config(self, name: str) -> JsonObject:
        """The content of a config in the version that the manifest pins.

        Raises :class:`VersionNotPinnedError` for any other, and inside a gate also for one that
        the gate does not declare.
        """
        declared = _declared_configs.get()
        if declared is not None and name not in declared:
            raise errors.VersionNotPinnedError(
                f"this gate reads config {name!r}, which it does not declare.",
                next_step=f"Add it to the gate: configs=({name!r}, ...), so that its verdict "
                "names the version it was made under.",
                config_name=name,
            )
        pin = self.manifest.pin(name)
        if pin is None:
            raise errors.VersionNotPinnedError(
                f"config {name!r} is not pinned by manifest {self.fingerprint}.",
                next_step="Add it with version and digest to config_versions.",
                config_name=name,
            )
        content = self._configs.read(pin)
        if not isinstance(content, dict):
            raise errors.VersionNotPinnedError(
                f"config {name!r} version {pin.config_version} is not a mapping.",
                next_step="Publish a version whose content is a mapping, and pin that.",
                config_name=name,
            )
        return content

    def has_input(self, name: str) -> bool:
        """Whether the manifest names such an input."""
        return self.manifest.input(name) is not None

    def input_bytes(self, name: str) -> bytes:
        """The verified bytes of an input. Raises :class:`InputMissingError`, and a
        :class:`GateRefusedError` for an artifact of this plane that may not be read."""
        return self._store.read(self._readable(name))

    def copy_input(self, name: str, destination: Path) -> None:
        """Copy an input, verified while it streams, to a new file. Raises as
        :meth:`input_bytes`."""
        self._store.copy_to(self._readable(name), destination)

    def artifact(self, asset: str) -> BoundRef:
        """The reference of an asset's artifact in this run, if all its gates stand."""
        ref = self._guard.require(asset, self.manifest, self.fingerprint)
        self._used(asset, ref)
        return ref

    def _readable(self, name: str) -> ArtifactRef:
        item = self._input(name)
        source = self._runs.source_of(item)
        if source is not None:
            self._used(name, source)
        return input_ref(item)

    def _input(self, name: str) -> ManifestInput:
        item = self.manifest.input(name)
        if item is None:
            raise errors.InputMissingError(
                f"the manifest has no input {name!r}.",
                next_step="Add it to inputs, with its digest.",
                input=name,
            )
        return item
