"""An ephemeral plane: real store, real ledger and a Dagster instance that records attempts."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ro_platform.admin.intents import admin_request
from ro_platform.config.settings import Settings, settings_in_force
from ro_platform.contracts import (
    AdminActionType,
    ArtifactRef,
    CodeRef,
    ManifestInput,
    PinnedConfigRef,
    RunManifest,
)
from ro_platform.kernel.digest import sha256_hex
from ro_platform.kernel.identity import manifest_fingerprint
from ro_platform.orchestration.instances import Instance, recording_instance
from ro_platform.orchestration.partitions import register_manifest
from ro_platform.plane import Plane, shared_plane
from ro_platform.runs.manifest import ManifestFile

TEST_ACTOR = "HUMAN::tester"


@dataclass(frozen=True)
class EphemeralPlane:
    """A plane and the Dagster instance that belongs to it. Hand ``instance`` to Dagster."""

    settings: Settings
    plane: Plane
    instance: Instance

    def register(
        self,
        workload: str = "test",
        *,
        parameters: dict[str, Any] | None = None,
        seed: int | None = None,
        inputs: Mapping[str, bytes] | None = None,
        config_versions: Sequence[PinnedConfigRef] = (),
    ) -> str:
        """Register a manifest and its partition; answers its fingerprint, the partition key.

        ``inputs`` are the bytes of each input by name.
        """
        manifest = RunManifest(
            kind="ro.run_manifest.v0",
            workload=workload,
            parameters=parameters or {},
            seed=seed,
            inputs=tuple(self._input(name, data) for name, data in (inputs or {}).items()),
            config_versions=tuple(config_versions),
            code=CodeRef(version="test"),
        )
        file = ManifestFile(manifest, manifest_fingerprint(manifest), folder=self._inputs)
        register_manifest(self.plane, self.instance, file, workloads=[workload], actor=TEST_ACTOR)
        return file.fingerprint

    @property
    def _inputs(self) -> Path:
        return self.settings.home / "inputs"

    def _input(self, name: str, data: bytes) -> ManifestInput:
        digest = sha256_hex(data)
        self._inputs.mkdir(exist_ok=True)
        (self._inputs / digest).write_bytes(data)
        return ManifestInput(name=name, ref=ArtifactRef(ref=digest, digest=digest))

    def publish(self, name: str, content: dict[str, Any]) -> PinnedConfigRef:
        """Publish the next version of a config as the single user, and pin it."""
        request = admin_request(
            AdminActionType.PUBLISH_CONFIG,
            reason="for a test",
            parameters={"name": name, "digest": self.plane.configs.keep(content)},
        )
        admin = self.plane.admin
        admin.perform(request, actor=self.settings.actor, key=admin.key_for(request))
        return self.plane.configs.find(name).version


@contextmanager
def ephemeral_plane(folder: Path | None = None) -> Iterator[EphemeralPlane]:
    """A plane in ``folder``, or in a temporary one that is removed afterwards."""
    with ExitStack() as stack:
        home = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ro-")))
        settings = Settings.load({"RO_ROOT": str(home), "RO_HOME": str(home)}, cwd=home)
        stack.enter_context(settings_in_force(settings))
        instance = stack.enter_context(recording_instance(settings.dagster_state))
        yield EphemeralPlane(settings, shared_plane(settings), instance)
