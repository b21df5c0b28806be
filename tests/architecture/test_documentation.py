"""The documents: every link leads somewhere, every law names the test that holds it.

In the specifications a law is a list item or table row that opens with its number, such as
``RO1-3``. It links to a test (``[test_name](../path/test_file.py)``) or says ``Not built yet``.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
TEST_REFERENCE = re.compile(r"((?:[\w./-]+/)?test_\w+\.py)::(test_\w+)")
LAW = re.compile(r"^\s*[-*|]\s*\**(RO[123]-\d+)\b")
SPECS = "docs/model_spec/meta-layers/run_operate_plane/specs"


def prose(path: Path) -> str:
    """A Markdown file without its fenced blocks."""
    return re.sub(r"^(```|~~~).*?^\1", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """The anchors of a Markdown file's headings, as the forges make them."""
    headings = re.findall(r"^#+\s+(.*?)\s*#*$", prose(path), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}


def names_of_tests(path: Path) -> set[str]:
    """The names of a test file's tests."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def broken_link(page: Path, words: str, target: str) -> str:
    """What is wrong with a link, if anything."""
    if re.match(r"[a-z]+:", target):
        return ""
    name, _, anchor = target.partition("#")
    file = (page.parent / name).resolve() if name else page
    if not file.exists():
        return "leads nowhere"
    if anchor and file.suffix == ".md" and anchor not in anchors(file):
        return "has no such heading"
    test = words.strip("`")
    if file.suffix == ".py" and test.startswith("test_") and not test.endswith(".py"):
        return "" if test in names_of_tests(file) else "names no test of that file"
    return ""


def faults(page: Path, repository: Path) -> list[str]:
    """Every broken link and test reference of a page."""
    text = prose(page)
    found = [
        f"{page.name}: {target} {why}"
        for words, target in LINK.findall(text)
        if (why := broken_link(page, words, target))
    ]
    for name, test in TEST_REFERENCE.findall(text):
        files = [repository / name] if "/" in name else [*(repository / "tests").rglob(name)]
        if not any(file.is_file() and test in names_of_tests(file) for file in files):
            found.append(f"{page.name}: {name}::{test} does not exist")
    return found


def unheld_laws(text: str) -> list[str]:
    """The numbers of the laws that link to no test and do not say that they are not built."""
    laws = [(law[1], line) for line in text.splitlines() if (law := LAW.match(line))]
    held = re.compile(r"\[`?test_\w+`?\]\([^)]*tests/[^)]*\.py\)|not built yet", re.IGNORECASE)
    return [number for number, line in laws if not held.search(line)]


def test_every_link_leads_somewhere(repository: Path, repository_files: list[Path]) -> None:
    """Each relative link resolves, to a heading or a test where it names one."""
    pages = [path for path in repository_files if path.suffix == ".md"]
    assert [fault for page in pages for fault in faults(page, repository)] == []
    assert repository / "README.md" in pages


@pytest.mark.parametrize("number", [1, 2, 3])
def test_every_law_has_its_test(repository: Path, number: int) -> None:
    """Each law of the three specifications names the test that holds it, or is not built yet."""
    [spec] = repository.joinpath(SPECS).glob(f"RO{number}_*.md")
    text = prose(spec)
    assert re.search(rf"^\s*[-*|]\s*\**RO{number}-\d+", text, re.MULTILINE), "no laws found"
    assert unheld_laws(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "[gone](gone.md)",
        "[gone](../nowhere/)",
        "[here](#no-such-heading)",
        "[`test_nothing`](test_it.py)",
        "see test_it.py::test_nothing",
        "see `tests/test_it.py::test_nothing`",
    ],
)
def test_a_broken_link_is_found(tmp_path: Path, text: str) -> None:
    """A missing file, heading or test is a fault; the same links put right are none."""
    page = tmp_path / "tests" / "page.md"
    page.parent.mkdir()
    page.with_name("test_it.py").write_text("def test_it(): ...\n")
    page.write_text(f"# A heading, with `code`\n\n{text}\n")
    assert len(faults(page, tmp_path)) == 1
    sound = "[a](#a-heading-with-code) [`test_it`](test_it.py) tests/test_it.py::test_it"
    page.write_text(f"# A heading, with `code`\n\n{sound}\n\n```\n[gone](gone.md)\n```\n")
    assert faults(page, tmp_path) == []


def test_a_law_without_a_test_is_found() -> None:
    """A law must link to a test or say that it is not built yet."""
    text = (
        "- **RO1-1** No silent mutation: [test_x](../../tests/unit/test_y.py)\n"
        "| RO1-2 | Every change is audited. |\n"
        "- RO1-3 Streams: not built yet.\n"
        "* RO1-4 [a page](page.md)\n"
    )
    assert unheld_laws(text) == ["RO1-2", "RO1-4"]
