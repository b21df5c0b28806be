"""The how-to of drafts, followed to the letter in an empty folder."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.product import ROOT
from tests.acceptance.test_adoption import Shell, agrees, blocks, commands

PAGE = ROOT / "docs" / "how-to" / "draft.md"


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """Each file is written and each command run in order; each answers what the page shows."""
    shell, ran = Shell(tmp_path), 0
    for block in blocks(PAGE):
        if block.kind == "console":
            for command, said in commands(block.text):
                answered = shell.run(command)
                assert agrees(said, answered), "\n".join([f"$ {command}", *answered])
                ran += 1
        elif block.name is not None:
            (tmp_path / block.name).write_text(block.text)
    assert ran >= 12
