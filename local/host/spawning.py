"""Starts worker processes: each runs this process's own command with ``--worker FILE`` at its end.

It imports nothing of the host's, so that the first worker starts before the host has loaded.
"""

import socket
import subprocess
import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spawned:
    """A started worker process."""

    process: subprocess.Popen[bytes]
    connection: socket.socket
    """The host's end."""


def spawn() -> Spawned:
    """Start a worker process. It ends when its connection or its standard input does."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, *sys.orig_argv[1:], "--worker", str(theirs.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
        )
    return Spawned(process, ours)
