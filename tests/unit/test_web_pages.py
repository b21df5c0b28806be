"""The gateway's own pages outside of ``/operations``, and a request that ends before it is read."""

from __future__ import annotations

import asyncio

import pytest
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Message

from ro_platform.web.messages import read_body
from ro_platform.web.pages import refusal_page, sign_in_page, sign_out_page

USER = "HUMAN::me"


def test_every_page_says_that_there_is_a_single_user() -> None:
    """And none does once there is a policy."""
    for user in (USER, None):
        for page in (
            sign_in_page(form_token="t", single_user=user, key="", provider=None),
            sign_out_page(USER, "t", user),
            refusal_page("no", None, USER, user),
        ):
            assert ("Single-user mode" in page) == (user is not None)


def test_who_leaves_while_asking_is_not_refused() -> None:
    """A browser that is led elsewhere ends its requests; that is no refusal to keep on record."""

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientDisconnect):
        asyncio.run(read_body(Headers({"content-length": "10"}), receive, 100))
