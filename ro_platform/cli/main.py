"""The entry point of ``ro``. Importing it imports neither Dagster nor pandas."""

from __future__ import annotations

import importlib
import logging
import sys
import traceback

import click

from ro_platform import errors
from ro_platform.cli.declared import declaring
from ro_platform.cli.output import err, say_error

_NOUNS = {
    "run": "Carry a manifest through its workload, governed.",
    "draft": "List, show and remove what was tried out with `ro run --draft`.",
    "attempts": "List attempts, show one, and end those whose worker vanished.",
    "manifest": "Fingerprint, show and register manifests.",
    "artifact": "List, show, get, verify and erase artifacts.",
    "config": "Publish and show versioned configs.",
    "gate": "List gates and verdicts, revoke a PASS, drop a gate, verify an engine's bundle.",
    "trace": "Show everything that made, used, judged or touched what an id names.",
    "locator": "Check an engine's locators.",
    "lineage": "Recompute an engine's lineage hashes.",
    "dossier": "Export a run as one file that anyone can verify, verify one, show one.",
    "access": "Write, check, publish and show the access policy; explain what it decides.",
    "token": "Issue, renew, list and revoke tokens.",
    "admin": "Pause, drain, cancel, replay, promote, erase: actions, each once and on record.",
    "directive": "Propose what needs a second person; approve, reject and execute.",
    "ledger": "Read, verify and prove the ledger.",
    "web": "Serve the Dagster UI behind its authenticated gateway.",
    "explain": "Say what a code of an error or a term means, and what to do next.",
}

_EXIT_CODES = """\b
Exit codes
  0   done
  1   a fault of this program
  2   the command line is wrong
  3   what was handed in is not acceptable (manifest, config, input, setting)
  4   there is nothing by that name
  5   refused: no PASS, no read
  6   stored facts are not what was recorded
  7   another fact is recorded under that identity (conflict, replay diverged)
  8   a store or database does not serve; try again later
  9   the work itself failed
  10  it is unknown whether a write happened; read back first
  11  nobody is signed in, the policy does not allow it, it needs a second person, or it is paused
"""


class _Nouns(click.Group):
    """Loads a noun's module when it is asked for, so that each command starts fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The nouns in the order in which one meets them."""
        return list(_NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of a noun."""
        if cmd_name not in _NOUNS:
            return None
        module = importlib.import_module(f"ro_platform.cli.{cmd_name}")
        command: click.Command = module.command
        return declaring(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The nouns and what they are for, without loading any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_NOUNS.items()))


@click.command(cls=_Nouns, epilog=_EXIT_CODES, context_settings={"max_content_width": 100})
@click.version_option(package_name="ro-platform", prog_name="ro")
def ro() -> None:
    """The Run/Operate plane: deterministic runs, immutable artifacts, binding gates, one ledger."""


def _interrupts_leave_no_trace() -> None:
    """Ctrl-C may strike while a library closes a connection or an object goes away. Then Python's
    traces of it are noise: the interrupt itself is answered by click, with one word."""
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    unraisable = sys.unraisablehook

    def hook(unraised: sys.UnraisableHookArgs) -> None:
        if not isinstance(unraised.exc_value, KeyboardInterrupt):
            unraisable(unraised)

    sys.unraisablehook = hook


def main() -> None:
    """Run ``ro``; a fault of the program itself exits with 1 and says where it happened."""
    _interrupts_leave_no_trace()
    try:
        ro()
    except Exception as error:  # noqa: BLE001 - the outermost frame: nothing may escape unsaid
        fault = errors.RunOperateError(
            f"{type(error).__name__}: {error}",
            next_step="This is a fault of the program: report it with the trace below.",
        )
        if "--json" in sys.argv:
            say_error(fault, as_json=True)
        say_error(fault, as_json=False)
        err.print("".join(traceback.format_exception(error)), markup=False)
        sys.exit(fault.exit_code)


if __name__ == "__main__":
    main()
