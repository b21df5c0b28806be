"""What would change, as a diff that people read."""

from __future__ import annotations

import difflib
import json
from typing import Any


def diff_lines(before: Any, after: Any) -> list[str]:
    """Two JSON values as a unified diff of their indented text."""
    old, new = (
        json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).splitlines()
        for value in (before, after)
    )
    return list(difflib.unified_diff(old, new, "before", "after", lineterm=""))
