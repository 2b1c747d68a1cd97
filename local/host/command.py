"""The command line of the development host: see `local.host.__main__`."""

import argparse
import asyncio
import os
import signal
import socket
from datetime import timedelta

from local.host.console import announce, set_up_logging
from local.host.control import run_command
from local.host.cors import Cors
from local.host.host import DevelopmentHost
from local.host.spawning import Spawned
from local.host.static import StaticSite
from local.host.worker_process import WorkerProcess


def run(options: argparse.Namespace, first: Spawned) -> None:
    """Run a host until SIGINT or SIGTERM; *first* is its worker."""
    set_up_logging()
    asyncio.run(_run(options, first))


async def _run(options: argparse.Namespace, first: Spawned) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    host = DevelopmentHost(
        options.app_dir,
        worker=WorkerProcess(first),
        address=options.host,
        port=options.port,
        listening=None if options.listening is None else socket.socket(fileno=options.listening),
        certificate=options.certificate,
        key=options.key,
        cors=Cors(options.cors, supports_credentials=options.cors_credentials),
        sites=[_site(each) for each in options.static],
        function_key=options.function_key,
        master_key=options.master_key,
        polls_queues=not options.no_queues,
        runs_timers=not options.no_timers,
        delivers_twice=options.deliver_twice,
        grace=timedelta(seconds=options.grace),
    )
    async with host:
        failure = host.failure
        announce(
            url=host.url,
            functions=[each.name for each in host.functions],
            failure=f"{failure} (on Azure: {failure.on_azure})" if failure else None,
            function_key=host.keys.function,
            master_key=host.keys.master,
            pid=os.getpid(),
        )
        if options.control:
            obeying = asyncio.create_task(run_command(host))
            obeying.add_done_callback(lambda _: stopped.set())
        await stopped.wait()


def _site(text: str) -> StaticSite:
    try:
        return StaticSite.parse(text)
    except ValueError as error:
        raise SystemExit(f"--static: {error}") from error
