"""The booking page for one local cloud: the built files, configured with its addresses."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from local.cloud import ROOT, LocalCloud

BUILT: Final = ROOT / "web" / "dist"


def is_built() -> bool:
    """Return whether ``make web`` has been run."""
    return (BUILT / "index.html").is_file()


def configured_page(
    cloud: LocalCloud, folder: Path, *, parents: Sequence[str] = (), api: str = ""
) -> Path:
    """Copy the built page into *folder*, configured as a deployment would be, and return it.

    *parents*: origins that may embed it. *api*: the root of the API, if the page is at another
    origin; else it is expected beside the API, at ``/``.

    Raises:
        subprocess.CalledProcessError: Node does not run, or refuses.
    """
    arguments = ["--page", str(BUILT), "--out", str(folder), "--client-id", cloud.world.client_id]
    arguments += ["--authority", f"{cloud.entra.root_url}/organizations"]
    # In place of a platform's backend, the simulated Entra issues the platform's token.
    arguments += ["--platform-token", f"{cloud.entra.root_url}/_control/tokens"]
    if api:
        arguments += ["--api", api]
    for parent in parents:
        arguments += ["--parent", parent]
    subprocess.run(["node", str(ROOT / "web" / "configure.mjs"), *arguments], check=True)
    return folder
