"""A second person is one: not the proposer behind a token that they made for somebody else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ro_platform.admin.intents import admin_request
from ro_platform.contracts import AdminActionType, DirectiveStatus, Role
from ro_platform.errors import DirectiveRefusedError
from tests.unit.access_world import (
    BOSS,
    READER,
    SECOND,
    binding,
    plane_of,
    published,
    sound_policy,
    token_for,
)

WHY = "a test"


def test_a_token_that_the_proposer_issued_makes_nobody_a_second_person() -> None:
    """Refused when it is approved with; the same person by another's word may approve."""
    plane = plane_of()
    early = token_for(plane, SECOND)
    published(plane, sound_policy())
    made = token_for(plane, SECOND, actor=BOSS)
    granted = binding(READER, Role.READER).to_json_value()
    request = admin_request(AdminActionType.GRANT_ROLE, reason=WHY, parameters=granted)
    directive = plane.directives.propose(request, actor=BOSS)

    def approve(token_id: str) -> DirectiveStatus:
        return plane.directives.approve(
            directive.directive_id,
            reason=WHY,
            actor=SECOND,
            vouched_by=plane.tokens.vouched_by(token_id),
        ).status

    renewed = plane.tokens.renew(made.text, lifetime=timedelta(days=1), reason=WHY)
    for token in (made, renewed):
        with pytest.raises(DirectiveRefusedError, match="issued that token"):
            approve(token.token_id)
    assert approve(early.token_id) is DirectiveStatus.APPROVED
