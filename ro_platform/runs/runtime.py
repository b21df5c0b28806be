"""What executes: the interpreter, the platform and a digest over every installed package."""

from __future__ import annotations

import platform
from functools import lru_cache
from importlib.metadata import distributions

from ro_platform.contracts import RuntimeFingerprint
from ro_platform.kernel.digest import sha256_hex


@lru_cache(maxsize=1)
def runtime_fingerprint() -> RuntimeFingerprint:
    """This process's runtime. Packages are hashed as sorted ``name==version`` lines."""
    lines = {f"{item.name.lower()}=={item.version}" for item in distributions() if item.name}
    return RuntimeFingerprint(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        platform=f"{platform.system().lower()}-{platform.machine()}",
        packages_digest=sha256_hex("\n".join(sorted(lines)).encode()),
    )
