"""``ro web``: serve the Dagster UI behind its authenticated gateway."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from ro_platform.cli.declared import public
from ro_platform.cli.output import json_option, out, say_json
from ro_platform.config.settings import Settings

if TYPE_CHECKING:
    from ro_platform.web.serving import OpenGateway


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", default=3000, show_default=True, type=click.IntRange(1, 65535), help="And the port."
)
@click.option("--daemon", is_flag=True, help="Run Dagster's daemon as well; the two end together.")
@json_option
@public("each request that it serves is asked by itself")
def command(host: str, port: int, daemon: bool, as_json: bool) -> None:
    """Serve the Dagster UI behind its gateway: nobody reaches it without signing in.

    While no access policy was ever published the plane is in its single-user mode: the link that is
    printed signs you in, and only this machine is served.
    """
    # Imported here: they import Dagster.
    from ro_platform.web.operations.routes import operations
    from ro_platform.web.serving import serve

    say = partial(_say, as_json=as_json)
    serve(Settings.load(), host=host, port=port, daemon=daemon, say=say, operations=operations)


def _say(opened: OpenGateway, *, as_json: bool) -> None:
    if as_json:
        say_json({"sign_in": opened.sign_in_address, "single_user": opened.single_user})
        return
    if opened.single_user:
        out.print("Single-user mode: no access policy was published, so only you may act.")
    out.print(f"Sign in at {opened.sign_in_address}", markup=False)
