"""The cost of a cold process: importing the app, compared with importing every SDK at once."""

import json
import statistics
import subprocess
import sys

_RUNS = 5
_APP = "import function_app"
_NAIVE = """
import function_app
import msgraph.graph_service_client, azure.identity.aio, azure.data.tables.aio
import azure.storage.queue.aio, azure.keyvault.secrets.aio
"""
_MEASURE = """
import json, sys, time
started = time.perf_counter()
{code}
print(json.dumps({{
    "ms": 1000 * (time.perf_counter() - started),
    "modules": len(sys.modules),
    "mb": int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024,
}}))
"""


def measured(code: str) -> dict[str, float]:
    """Return time, modules and peak memory of *code* in a fresh interpreter: medians."""
    runs = []
    for _ in range(_RUNS + 1):  # the first one writes bytecode
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _MEASURE.format(code=code)],
            capture_output=True,
            text=True,
            check=True,
        )
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return {key: statistics.median(run[key] for run in runs[1:]) for key in runs[0]}


def main() -> None:
    """Print the rows."""
    app, naive = measured(_APP), measured(_NAIVE)
    print(f"{'':34}{'ms':>8}{'modules':>9}{'MB':>6}")
    for name, row in (("import function_app", app), ("with every SDK at import", naive)):
        print(f"{name:34}{row['ms']:>8.0f}{row['modules']:>9.0f}{row['mb']:>6.0f}")
    print(f"the app's own share of the naive way: {app['ms'] / naive['ms']:.2f}")


if __name__ == "__main__":
    main()
