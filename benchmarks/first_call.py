"""Time from process start to the end of the first Graph call and table write, on the local cloud.

The app is the repository's, with the test dependencies around it. With
``APP_DIR=build/package/app`` it is the unpacked package alone, as Azure starts it.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from local.cloud import NO_LIMITS, LocalCloud
from tests.e2e.packaged import APP_DIR, python

_RUNS = 5
_CODE = """
import asyncio, json, sys, time
started = time.perf_counter()
import function_app
from datetime import UTC, datetime, timedelta
from shared.changes.model import Change, ChangeKind
from shared.ids import Mailbox, ObjectId, OrganizationId, TenantId
from shared.organizations.model import Acting
from shared.settings import Settings
from shared.timespan import TimeSpan
from shared.wiring import Wiring

async def main():
    adapters = Wiring(Settings.from_environment())
    tenant, person, address = sys.argv[1:]
    day = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    window = TimeSpan.lasting(day, timedelta(days=7))
    acting = Acting(Mailbox(TenantId(tenant), ObjectId(person)))
    await adapters.schedules.read(acting, [address], window)
    change = Change(OrganizationId("bench"), day, ChangeKind.SCHEDULED, "api")
    await adapters.changes.append([change])
    took = 1000 * (time.perf_counter() - started)
    await adapters.aclose()
    return took

took = asyncio.run(main())
models = [m for m in sys.modules if m.startswith("msgraph.generated.models.")]
peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024
print(json.dumps({"ms": took, "modules": len(sys.modules), "models": len(models), "mb": peak}))
"""


async def main() -> None:
    """Print the medians and the goals of a cold start."""
    with tempfile.TemporaryDirectory() as folder:
        async with LocalCloud(folder=Path(folder), settings=NO_LIMITS) as cloud:
            ada = cloud.world.person("ada")
            runs = [
                await _run(cloud, ada.tenant_id, ada.object_id, ada.address)
                for _ in range(_RUNS + 1)
            ]
    row = {key: statistics.median(run[key] for run in runs[1:]) for key in runs[0]}
    print("start to first Graph call and table write (goals: 400 ms, 1,200 modules, 25, 80 MB)")
    print(
        f"{row['ms']:.0f} ms, {row['modules']:.0f} modules, {row['models']:.0f} of them models of"
        f" the Graph SDK, {row['mb']:.0f} MB; the simulators' time on the same cores included"
    )


async def _run(cloud: LocalCloud, *arguments: str) -> dict[str, float]:
    interpreter = python(APP_DIR) if APP_DIR else [sys.executable, "-W", "ignore", "-c"]
    process = await asyncio.create_subprocess_exec(
        *interpreter,
        _CODE,
        *arguments,
        env=os.environ | cloud.environment,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    outcome: dict[str, float] = json.loads(said.decode().splitlines()[-1])
    return outcome


if __name__ == "__main__":
    asyncio.run(main())
