"""What executes is described so that two runtimes can be told apart."""

from __future__ import annotations

import platform
from importlib import metadata
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pytest

from ro_platform.kernel.digest import sha256_hex
from ro_platform.runs import changes as runtime
from ro_platform.runs.changes import runtime_fingerprint


class Package:
    """What is read of an installed distribution."""

    def __init__(self, name: str | None, number: str) -> None:
        self.name, self.version = name, number


def fingerprint_of(monkeypatch: pytest.MonkeyPatch, *packages: Package) -> str:
    monkeypatch.setattr(runtime, "distributions", lambda: iter(packages))
    runtime_fingerprint.cache_clear()
    try:
        return runtime_fingerprint().packages_digest
    finally:
        runtime_fingerprint.cache_clear()


def test_it_names_this_interpreter_and_platform() -> None:
    """And is computed once a process."""
    found = runtime_fingerprint()
    assert found.python == platform.python_version()
    assert found.implementation == platform.python_implementation()
    assert found.platform == f"{platform.system().lower()}-{platform.machine()}"
    assert runtime_fingerprint() is found


def test_the_digest_can_be_recomputed_from_the_installed_packages() -> None:
    """Sorted ``name==version`` lines, SHA-256."""
    lines = {f"{item.name.lower()}=={item.version}" for item in metadata.distributions()}
    assert f"dagster=={version('dagster')}" in lines
    digest = sha256_hex("\n".join(sorted(lines)).encode())
    assert runtime_fingerprint().packages_digest == digest
    with pytest.raises(PackageNotFoundError):
        version("surely-not-installed")


def test_any_package_changes_it_and_their_order_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version, one more package; not the order, a letter's case, or one without a name."""

    def digest(*packages: Any) -> str:
        return fingerprint_of(monkeypatch, *(Package(*item) for item in packages))

    base = digest(("a", "1"), ("b", "2"))
    assert base == digest(("b", "2"), ("A", "1"), (None, "9"))
    assert len({base, digest(("a", "1"), ("b", "3")), digest(("a", "1"))}) == 3
