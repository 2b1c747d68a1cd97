"""Runs the scripts of `infra/` with stand-ins for the programs that they call."""

import os
import subprocess
from pathlib import Path

INFRA = Path(__file__).parents[2] / "infra"


def put_program(folder: Path, name: str, text: str) -> None:
    """Put the program *name* into *folder*."""
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def run_script(
    script: Path, *arguments: str, programs: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run *script*, which finds what is in the folder *programs* before all others."""
    return subprocess.run(
        ["bash", script, *arguments],
        env={"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
