"""Runs a module and ends when its parent process ends.

`python -m local.exit_with_parent MODULE [ARGUMENT…]`.

Standard input is a pipe from the parent. It closes when the parent ends, also by a crash or a kill.
So no orphaned server stays behind.
"""

import os
import runpy
import signal
import sys
import threading
import time
from typing import Final

GRACE_SECONDS: Final = 40.0


def main() -> None:
    """Watch the pipe, and run the module as the main program."""
    threading.Thread(target=_watch, daemon=True).start()
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _watch() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
