"""The repository: small modules, docstrings everywhere, sound links, and no download addresses."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

MAX_LINES = 400
LOCK_FILES = {"uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pylock.toml"} | {
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
}
# In pieces, so that this file does not hold what it looks for.
DOWNLOADS = ["index" + "-url", "files.python" + "hosted", "py" + "pi.org", "/sim" + "ple/"]
DOWNLOADS += ["find" + "-links", "extra-" + "index", "registry." + "npmjs", "trusted" + "-host"]


def text_of(path: Path) -> str:
    """A file's text; of binary data, nothing."""
    data = path.read_bytes()
    return "" if b"\0" in data[:8192] else data.decode(errors="replace")


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_lock_file_records_download_addresses(repository_files: list[Path]) -> None:
    """Pins are names, versions and hashes; where they are fetched is the machine's own affair."""
    assert [path for path in repository_files if path.name in LOCK_FILES] == []


def test_no_registry_is_named(repository_files: list[Path], repository: Path) -> None:
    """No file names a package index or an option that would set one."""
    found = [
        (str(path.relative_to(repository)), words)
        for path in repository_files
        for words in DOWNLOADS
        if words in text_of(path)
    ]
    assert found == []


def test_every_pin_has_a_hash_and_no_address(repository: Path) -> None:
    """Each line of the pins is a comment, name==version with its marker, or a hash of it."""
    pin = r"[a-z0-9._-]+(\[[a-z0-9,-]+\])?==\S+( ;.*)? \\"
    line = re.compile(rf" *#.*|{pin}|    --hash=sha256:[0-9a-f]{{64}}( \\)?")
    for name in ("run.txt", "dev.txt"):
        lines = repository.joinpath("requirements", name).read_text().splitlines()
        assert [text for text in lines if not line.fullmatch(text)] == []
        pins = [at for at, text in enumerate(lines) if "==" in text]
        assert len(pins) > 50
        assert all(lines[at + 1].startswith("    --hash=") for at in pins)


def pins_of(path: Path) -> dict[str, str]:
    """Name and version of each pin."""
    found = re.findall(r"^([a-z0-9._-]+)(?:\[.*\])?==(\S+)", path.read_text(), re.MULTILINE)
    return dict(found)


def test_the_two_sets_of_pins_agree(repository: Path) -> None:
    """What a run uses has the same version where it is developed and tested."""
    run, dev = (pins_of(repository / "requirements" / name) for name in ("run.txt", "dev.txt"))
    assert run.items() <= dev.items()
    assert len(dev) > len(run)


def test_every_dependency_is_pinned(repository: Path) -> None:
    """Each dependency of pyproject.toml, and what builds the package, stands in the pins."""
    project = tomllib.loads(repository.joinpath("pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    needs = {
        "run.txt": project["project"]["dependencies"] + extras["workload"],
        "dev.txt": [need for extra in extras.values() for need in extra],
    }
    build = project["build-system"]["requires"]
    assert repository.joinpath("requirements/build.in").read_text().split() == build
    for name, requirements in needs.items():
        wanted = {re.split(r"[^A-Za-z0-9._-]", need)[0].lower() for need in requirements + build}
        pinned = pins_of(repository / "requirements" / name)
        assert {need.replace(".", "-").replace("_", "-") for need in wanted} <= set(pinned)


def test_modules_are_small(library_modules: list[Path]) -> None:
    """No module of the library is longer than the house allows."""
    lengths = {path.name: len(path.read_text().splitlines()) for path in library_modules}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}
    assert len(lengths) > 10


def test_every_module_says_what_it_is(library_modules: list[Path]) -> None:
    """Each module of the library opens with a docstring."""
    assert [
        path for path in library_modules if not ast.get_docstring(ast.parse(path.read_text()))
    ] == []


def test_every_test_states_its_truth(repository: Path) -> None:
    """Each test function has a docstring, and each test file one of its own."""
    files = sorted((repository / "tests").rglob("test_*.py"))
    silent = [
        f"{path.name}::{function.name}"
        for path in files
        for function in functions(path)
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]
    silent += [path.name for path in files if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def test_test_files_have_unique_names(repository: Path) -> None:
    """No two test files share a name, and no folder of tests is a package."""
    names = [path.name for path in (repository / "tests").rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)
    assert list((repository / "tests").rglob("__init__.py")) == []
