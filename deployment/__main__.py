"""Builds the deployment package: ``python -m deployment``, or ``make package``."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from deployment.archive import LIMITS
from deployment.dependencies import NoInterpreter, version_of
from deployment.licences import NotAccepted
from deployment.package import DEFAULT_PYTHON, ROOT, build, unpack


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and print figures. Returns 1 if the build fails or exceeds a limit."""
    options = _parser().parse_args(arguments)
    interpreter: Path | None = options.interpreter
    python = options.python or (interpreter and version_of(interpreter)) or DEFAULT_PYTHON
    try:
        package = build(options.out, python=python, interpreter=interpreter)
    except (NoInterpreter, NotAccepted) as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"{error.cmd[0]} failed with {error.returncode}; see above.", file=sys.stderr)
        return 1
    print(f"{package.archive} for Python {python}: {package.figures}")
    print(f"{package.bill}: what it is made of")
    if options.unpack:
        unpack(package.archive, options.unpack)
    exceeded = package.figures.exceeded(LIMITS)
    for each in exceeded:
        print(f"Too large: {each}", file=sys.stderr)
    return 1 if exceeded else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deployment", description=__doc__)
    add = parser.add_argument
    add("--out", type=Path, default=ROOT / "dist", help="where to write")
    add("--python", metavar="VERSION", help=f"the version on Azure, {DEFAULT_PYTHON} without")
    add("--interpreter", type=Path, help="a Python of that version, to compile with")
    add("--unpack", type=Path, metavar="FOLDER", help="replace FOLDER by what is in the package")
    return parser


if __name__ == "__main__":
    sys.exit(main())
