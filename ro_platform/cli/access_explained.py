"""What ``ro access explain`` says: a decision, where it comes from, and who else is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from ro_platform.access.explain import Explanation
from ro_platform.access.policy import Target
from ro_platform.cli.output import fields, out, short


def say_explanation(found: Explanation) -> None:
    """Print it for a person: the answer first, then each role that was looked at."""
    decision = found.decision
    answer = Text("yes", style="green") if decision.allowed else Text("no", style="red")
    fields(
        [
            ("may", Text.assemble(answer, f": {decision.why}")),
            ("actor", decision.actor),
            ("action", decision.action.value),
            ("target", f"{decision.target.name} ({scope_words(_place(decision.target))})"),
            ("policy", _version(found)),
        ]
    )
    for one in found.considered:
        out.print(f"  {'+' if one.allows else '-'} {one.why}", markup=False)
    if decision.needs_second:
        out.print(f"needs a second person: {', '.join(found.approvers) or 'there is none'}")


def _version(found: Explanation) -> str:
    if found.version is None:
        return "none: single-user mode"
    return f"version {found.version}, sha256:{short(found.decision.policy_digest)}"


def explanation_facts(found: Explanation) -> dict[str, Any]:
    """The same as a JSON object."""
    decision = found.decision
    return {
        "actor": decision.actor,
        "action": decision.action.value,
        "target": {"name": decision.target.name, **_place(decision.target)},
        "allowed": decision.allowed,
        "why": decision.why,
        "by": decision.by.to_json_value() if decision.by else None,
        "policy": {"version": found.version, "digest": decision.policy_digest},
        "needs_second": decision.needs_second,
        "approvers": list(found.approvers),
        "considered": [
            {"binding": one.binding.to_json_value(), "allows": one.allows, "why": one.why}
            for one in found.considered
        ],
    }


def _place(target: Target) -> dict[str, str]:
    said_of = {
        "environment": target.environment,
        "workload": target.workload,
        "stream": target.stream,
    }
    return {key: value for key, value in said_of.items() if value is not None}


def scope_words(fields_of: Mapping[str, str]) -> str:
    """A scope in words."""
    return ", ".join(f"{key} {value}" for key, value in fields_of.items()) or "everywhere"
