"""The boundary of the charter: the plane carries out work, and knows no model, agent or business.

The library imports only what is listed here, so a client of a model, an agent runtime or a library
of prompts is refused whatever its name; it keeps no prompts; and it knows none of the assets,
resources and sensors of a deployment.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from tests.architecture.house_figures import import_statements

DATA = {"msgspec", "numpy", "pandas", "pyarrow", "pydantic", "pydantic_core", "rfc8785", "ruamel"}
STORAGE = {"alembic", "boto3", "botocore", "psycopg2", "sqlalchemy"}
TRUST = {"authlib", "blake3", "cryptography", "itsdangerous", "joserfc"}
SURFACES = {"click", "graphql", "httpx", "rich", "starlette", "uvicorn"}
ORCHESTRATOR = {"dagster", "dagster_graphql", "dagster_postgres", "dagster_shared"} | {
    "dagster_webserver"
}
MAY_BE_IMPORTED = {"ro_platform"} | DATA | STORAGE | TRUST | SURFACES | ORCHESTRATOR
"""All that the library imports beside Python's own. A line more here is a decision: it never names
a client of a model, an agent runtime, or a package of this deployment."""

LOADS_WHAT_IT_IS_TOLD = {
    "ro_platform/__init__.py": "loads the public names from their homes",
    "ro_platform/kernel/code/listing.py": "finds the code of a workload's rule, to list it",
    "ro_platform/orchestration/code_location.py": "loads the deployment that it is given",
}
"""The modules that import by a name that is not written in them."""


def imported(tree: ast.Module) -> set[str]:
    """The top-level packages of all import statements, and of imports by a name in quotes."""
    names: set[str] = set()
    for node in import_statements(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        else:
            names.add(node.module or "")
    names |= {name for call in dynamic_imports(tree) if (name := _named(call))}
    return {name.split(".")[0] for name in names}


def dynamic_imports(tree: ast.Module) -> list[ast.Call]:
    """The calls of ``importlib.import_module`` and ``__import__``."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__"}
    ]


def _named(call: ast.Call) -> str:
    """The beginning of the name that is imported, as far as it is written there."""
    first = call.args[0] if call.args else None
    if isinstance(first, ast.JoinedStr) and first.values:
        first = first.values[0]
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def offences(path: str, source: str) -> list[str]:
    """What a module imports beyond the boundary."""
    tree = ast.parse(source)
    own = MAY_BE_IMPORTED | set(sys.stdlib_module_names)
    found = [f"{path} imports {name or 'by a relative name'}" for name in imported(tree) - own]
    if path not in LOADS_WHAT_IT_IS_TOLD:
        unnamed = [call for call in dynamic_imports(tree) if not _named(call)]
        found += [f"{path} imports by a name that is not written there" for _ in unnamed]
    if any("prompt" in part.lower() for part in Path(path).parts):
        found.append(f"{path} keeps prompts")
    return sorted(found)


def test_the_library_stays_within_its_boundary(repository: Path) -> None:
    """No module imports a package that is not listed, and no file keeps prompts."""
    files = [path for path in (repository / "ro_platform").rglob("*") if path.is_file()]
    found = []
    for path in files:
        name = str(path.relative_to(repository))
        found += offences(name, path.read_text() if path.suffix == ".py" else "")
    assert found == []
    assert len(files) > 100


@pytest.mark.parametrize(
    "source",
    [
        "import openai",
        "from anthropic import Anthropic",
        "def answer() -> None:\n    from langchain.agents import AgentExecutor",
        "import importlib\nimportlib.import_module('transformers.pipelines')",
        "from importlib import import_module\nimport_module(f'crewai.{name}')",
        "__import__('a_client_that_nobody_has_heard_of')",
        "import importlib\nimportlib.import_module(name)",
        "try:\n    import litellm as client\nexcept ImportError:\n    client = None",
        "import assets.fraud",
        "from resources import store",
        "from sensors.inbox import inbox",
        "from . import beside",
    ],
)
def test_what_crosses_the_boundary_is_found(source: str) -> None:
    """By statement or by call, at the top or within a function, with a known name or another."""
    assert len(offences("ro_platform/runs/offence.py", source)) == 1


@pytest.mark.parametrize("path", ["ro_platform/prompts.py", "ro_platform/web/Prompts/judge.txt"])
def test_a_file_of_prompts_is_found(path: str) -> None:
    """Whatever it holds, by its name or its folder's."""
    assert offences(path, "") == [f"{path} keeps prompts"]


def test_what_is_within_the_boundary_is_no_offence() -> None:
    """Python's own, the listed packages, and the library's modules by name are taken."""
    source = "import json\nimport pyarrow as pa\nfrom ro_platform.plane import Plane\n"
    source += "import importlib\nimportlib.import_module(f'ro_platform.cli.{noun}')\n"
    assert offences("ro_platform/runs/fine.py", source) == []


def test_the_list_is_no_longer_than_it_needs_to_be(library_modules: list[Path]) -> None:
    """Each listed package is imported, and each module that loads what it is told does so."""
    trees = {str(path): ast.parse(path.read_text()) for path in library_modules}
    used = set().union(*(imported(tree) for tree in trees.values()))
    assert MAY_BE_IMPORTED - used == set()
    for name in LOADS_WHAT_IT_IS_TOLD:
        [tree] = [tree for path, tree in trees.items() if path.endswith(name)]
        assert any(not _named(call) for call in dynamic_imports(tree))
