"""Commands, each by its own entry point in a process of its own, forked from this one.

``python -m tests.acceptance.many_ways.forked FILE``: the file lists what to run, as
``{"argv": [...], "log": path}``. Importing Dagster takes longer than most of these commands; here
it is done once. Two run at a time.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from dagster._cli import main as dagster_command

import tests.acceptance.many_ways.definitions  # noqa: F401 - what every one of them loads
from ro_platform.cli.main import main as ro_command

AT_ONCE = 2
_ENTRY_POINTS: dict[str, Callable[[], Any]] = {"dagster": dagster_command, "ro": ro_command}


def main(commands: Iterator[dict[str, Any]]) -> None:
    """Run them all; that many are to fail, so each one's output is kept."""
    running = 0
    for command in commands:
        if running == AT_ONCE:
            os.wait()
            running -= 1
        if os.fork() == 0:
            _become(command["argv"], Path(command["log"]))
        running += 1
    for _ in range(running):
        os.wait()


def _become(argv: list[str], log: Path) -> NoReturn:
    """The command itself: nothing of what it raises comes back."""
    code = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.argv = argv
        _ENTRY_POINTS[argv[0]]()
        code = 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 1
    except BaseException:  # noqa: BLE001 - the process ends here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(2, f"\nexit code {code}\n".encode())
        os._exit(code)


if __name__ == "__main__":
    main(iter(json.loads(Path(sys.argv[1]).read_text())))
