"""What executes: the interpreter, the platform and a digest over every installed package.

The digest is that of the listing of packages, which :func:`keep_packages` puts into the store: so
two runtimes of which both listings were kept can be compared package by package.
"""

from __future__ import annotations

import platform
from functools import lru_cache
from importlib.metadata import distributions

from ro_platform.artifacts.addressing import blob_name
from ro_platform.artifacts.store import ArtifactStore
from ro_platform.contracts import ArtifactRef, RuntimeFingerprint
from ro_platform.errors import RunOperateError
from ro_platform.kernel.digest import sha256_hex

_MEDIA_TYPE = "text/plain"


@lru_cache(maxsize=1)
def runtime_fingerprint() -> RuntimeFingerprint:
    """This process's runtime. Packages are hashed as sorted ``name==version`` lines."""
    return RuntimeFingerprint(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        platform=f"{platform.system().lower()}-{platform.machine()}",
        packages_digest=sha256_hex(_listing()),
    )


def keep_packages(store: ArtifactStore) -> None:
    """Keep the listing that this process's fingerprint is the digest of, unless it is kept."""
    if not store.has(_ref(runtime_fingerprint().packages_digest)):
        store.put_bytes(_listing(), media_type=_MEDIA_TYPE)


def packages_of(store: ArtifactStore, fingerprint: RuntimeFingerprint) -> dict[str, str] | None:
    """The packages of a runtime, versions by name; None where its listing was not kept."""
    if fingerprint == runtime_fingerprint():
        lines = _listing().decode()
    else:
        try:
            lines = store.read(_ref(fingerprint.packages_digest)).decode()
        except RunOperateError:
            return None
    named = (line.partition("==") for line in lines.splitlines())
    return {name: version for name, _, version in named}


def _listing() -> bytes:
    lines = {f"{item.name.lower()}=={item.version}" for item in distributions() if item.name}
    return "\n".join(sorted(lines)).encode()


def _ref(digest: str) -> ArtifactRef:
    return ArtifactRef(ref=blob_name(digest), digest=digest, digest_alg="sha256")
