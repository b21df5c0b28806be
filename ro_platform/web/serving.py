"""Serving the face: uvicorn in this process, and the daemon, if asked for, as its child.

The two end together: when the daemon dies the face stops, and when the face stops, however that
happens, the daemon is told to.
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import uvicorn

from ro_platform.config.settings import Settings, forget_token, use_dagster_home
from ro_platform.errors import RunFailedError
from ro_platform.web.app import OpenFace, OperationsPage, face
from ro_platform.web.sockets import MAX_MESSAGE_CHARS

_STOP_SECONDS = 20
_MAX_HEADER_BYTES = 128 << 10
_MAX_CONNECTIONS = 1000
_PR_SET_PDEATHSIG = 1


def serve(
    settings: Settings,
    *,
    host: str,
    port: int,
    daemon: bool,
    say: Callable[[OpenFace], None],
    operations: OperationsPage | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. ``say`` is called when the face is ready to be served.

    Raises what :func:`ro_platform.web.app.face` raises, and :class:`RunFailedError` when the daemon
    ended by itself.
    """
    # The daemon first: to fork is safe only while no other threads run here.
    with _daemon(settings) if daemon else nullcontext() as child:
        forget_token()  # it is the daemon's; code servers of the face act for nobody
        with face(settings, host=host, port=port, operations=operations) as opened:
            server = uvicorn.Server(config_of(opened, host, port))
            if child is not None:
                child.stop_with_it(server)
            say(opened)
            server.run()
        if child is not None and child.ended:
            raise RunFailedError(
                "The daemon ended, and the face with it.",
                next_step="Its last lines are above; start both again.",
            )


class _Daemon:
    """Dagster's daemon, as a child of this process."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self.ended = False

    def stop_with_it(self, server: uvicorn.Server) -> None:
        """Stop the server when the daemon ends by itself."""

        def watch() -> None:
            self._child.wait()
            self.ended = not server.should_exit
            server.should_exit = True

        threading.Thread(target=watch, daemon=True).start()

    def stop(self) -> None:
        """End it, and wait until it has."""
        self._child.terminate()
        try:
            self._child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def config_of(opened: OpenFace, host: str, port: int) -> uvicorn.Config:
    """How a face is served: what reaches it is limited before it is judged."""
    return uvicorn.Config(
        opened.app,
        host=host,
        port=port,
        log_level="warning",
        # The peer's address is a credential (a named proxy), so no header may change it.
        proxy_headers=False,
        # The faster parser takes headers without end.
        http="h11",
        h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
        limit_concurrency=_MAX_CONNECTIONS,
        server_header=False,
        ws_max_size=4 * MAX_MESSAGE_CHARS,
        timeout_graceful_shutdown=5,
    )


@contextmanager
def _daemon(settings: Settings) -> Iterator[_Daemon]:
    use_dagster_home(settings)
    program = Path(sys.executable).with_name("dagster-daemon")
    daemon = _Daemon(
        subprocess.Popen(  # noqa: S603 - the program beside our interpreter, and no shell
            [program, "run", "-w", "workspace.yaml"],
            cwd=settings.root,
            preexec_fn=_end_with_parent,
        )
    )
    try:
        yield daemon
    finally:
        daemon.stop()


def _end_with_parent() -> None:
    """The kernel tells the child when its parent is gone, also after a kill -9. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
