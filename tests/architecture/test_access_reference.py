"""The reference page of access says what the code says: roles, actions, findings."""

from __future__ import annotations

import re
from pathlib import Path

from ro_platform.access.roles import ALWAYS_FOUR_EYES, ROLE_ACTIONS
from ro_platform.config.policies import policy_of
from ro_platform.contracts import Action, Role
from ro_platform.kernel.documents import parse_document


def section(repository: Path, heading: str) -> str:
    """One section of the page."""
    text = (repository / "docs" / "reference" / "access.md").read_text()
    return text.split(f"\n{heading}\n", 1)[1].split("\n## ")[0]


def test_the_table_of_actions_is_what_the_roles_allow(repository: Path) -> None:
    """Each action with exactly its roles, and whether it always needs a second person."""
    rows = re.findall(
        r"^\| `(\w+)` \| [^|]+ \| ([^|]*) \| ([^|]*) \|$",
        section(repository, "## Actions"),
        re.MULTILINE,
    )
    four_eyes = {action.value for action in ALWAYS_FOUR_EYES}
    said = [(name, set(re.findall(r"`([\w-]+)`", roles)), second) for name, roles, second in rows]
    assert said == [
        (
            action.value,
            {role.value for role in Role if action in ROLE_ACTIONS[role]},
            "always" if action.value in four_eyes else "-",
        )
        for action in Action
    ]


def test_the_policy_of_the_page_is_one(repository: Path) -> None:
    """Its example is read as a policy, as a file would be."""
    [example] = re.findall(r"```yaml\n(.*?)```", section(repository, "## Policy"), re.DOTALL)
    policy = policy_of(parse_document(example.encode(), "access.md").value)
    assert [binding.role for binding in policy.bindings] == [
        Role.ADMIN,
        Role.APPROVER,
        Role.OPERATOR,
        Role.OPERATOR,
    ]


def test_the_findings_of_the_check_are_listed(repository: Path) -> None:
    """Every code that the check can answer has its row."""
    source = (repository / "ro_platform" / "access" / "check.py").read_text()
    codes = set(re.findall(r'Finding\(\s*"([a-z-]+)"', source))
    rows = re.findall(
        r"^\| `([a-z-]+)` \| [^|]+ \|$", section(repository, "## Policy"), re.MULTILINE
    )
    assert set(rows) == codes
