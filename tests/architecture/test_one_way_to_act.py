"""What changes something is done by the administrative service, which asks who may: nothing that it
does can be called without the intent that it recorded."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "ro_platform"

# What records an event of its own, and why it is no action of the service.
OWN_EVENTS = {
    "_admin_draft": "a config's first version comes with its manifest, or founds the policy",
    "Erasures._older_outcome": "an older release began an erasure without an intent",
    "Plane.record_admin_event": "what was done outside of the plane, told by whoever did it",
}


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every function of the library: as class and name, and its tree."""
    for path in sorted(LIBRARY.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                for item in node.body:
                    if isinstance(item, ast.FunctionDef):
                        yield f"{node.name}.{item.name}", item
        yield from ((item.name, item) for item in tree.body if isinstance(item, ast.FunctionDef))


def names_in(tree: ast.AST) -> set[str]:
    """Every name that it uses."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def test_nothing_records_an_event_of_its_own_but_what_is_named_here() -> None:
    """Intent and outcome are the service's; any other administrative event has a reason."""
    found = {name for name, tree in functions() if "admin_event_draft" in names_in(tree)}
    assert found == set(OWN_EVENTS)


def test_what_is_done_for_an_action_takes_its_intent() -> None:
    """In the three rooms that act, each public method that takes one cannot be called without."""
    taking = {}
    for name, tree in functions():
        arguments = [*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs]
        for argument in arguments:
            if argument.annotation and "Commission" in names_in(argument.annotation):
                taking[name] = ast.unparse(argument.annotation)
    public = {name: kind for name, kind in taking.items() if name.split(".")[-1][0] != "_"}
    assert public == dict.fromkeys(
        ["ConfigVersions.publish", "Erasures.erase", "Revocations.revoke"], "Commission"
    )
