"""Which backend a URL means is decided in one place for the store and one for the ledger."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.architecture.house_figures import import_statements

OWNERS = {
    "ro_platform.artifacts.backends.filesystem": {
        "ro_platform/artifacts/store.py",
        "ro_platform/checkpoints/witnesses/local.py",  # a witness of its own
    },
    "ro_platform.ledger.backends.sqlite": {"ro_platform/ledger/addresses.py"},
    "ro_platform.ledger.backends.postgres": {"ro_platform/ledger/addresses.py"},
}
"""Who may import a backend that a URL names."""


def chosen_elsewhere(path: str, source: str) -> list[str]:
    """The backends that a module imports and does not own the choice of."""
    names = set()
    for node in import_statements(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        else:
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return sorted(name for name in names & OWNERS.keys() if path not in OWNERS[name])


def test_no_other_module_chooses_a_backend(library_modules: list[Path], repository: Path) -> None:
    """A new scheme is added in one place; each owner does choose."""
    found, owners = [], set()
    for path in library_modules:
        name, source = str(path.relative_to(repository)), path.read_text()
        found += [f"{name} imports {backend}" for backend in chosen_elsewhere(name, source)]
        if chosen_elsewhere("", source):
            owners.add(name)
    assert found == []
    assert owners == set().union(*OWNERS.values())


@pytest.mark.parametrize(
    "source",
    [
        "from ro_platform.ledger.backends.postgres import PostgresLedgerBackend",
        "def f():\n    import ro_platform.ledger.backends.sqlite",
        "from ro_platform.artifacts.backends import filesystem",
    ],
)
def test_a_choice_elsewhere_is_found(source: str) -> None:
    """At the top or within a function, in either form."""
    assert len(chosen_elsewhere("ro_platform/plane.py", source)) == 1
