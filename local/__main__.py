"""The local cloud's command line: ``python -m local``."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    # Until a cloud runs there is nothing to clean up: Ctrl-C then ends the process without a
    # traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from local.approving import approve
from local.commands import COMMANDS, KINDS, CommandFailed, act, environment, list_people, token
from local.entra.tokens import Forgery
from local.running import Options, run, run_all, run_cloud
from local.running_cloud import NoCloud


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in *arguments*; return the exit status."""
    asked = _parser().parse_args(arguments)
    try:
        match asked.command:
            case "start" | "cloud":
                options = Options(
                    asked.port, keep=asked.keep, credential=asked.credential, cors=asked.cors or ""
                )
                return run(run_all if asked.command == "start" else run_cloud, options)
            case "people":
                print(list_people())
            case "token":
                print(token(asked.person, forgery=asked.forgery, cloud=asked.cloud))
            case "environment":
                print(environment(asked.cloud))
            case "approve":
                print(approve(asked.person, asked.link, decline=asked.decline, cloud=asked.cloud))
            case "act":
                print(
                    act(
                        asked.person,
                        asked.act,
                        asked.session,
                        start=asked.start,
                        end=asked.end,
                        comment=asked.comment,
                        send=not asked.silently,
                        to=asked.to,
                        kind=asked.kind,
                        decline=asked.decline,
                        on=asked.on,
                        cloud=asked.cloud,
                    )
                )
    except (NoCloud, CommandFailed) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local", description="A simulated Office 365 and Azure on this machine."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_running(commands.add_parser("start", help="run the cloud and the app"))
    _add_running(commands.add_parser("cloud", help="run the cloud alone"))
    commands.add_parser("people", help="list the seeded people and pairings")
    one = commands.add_parser("token", help="print a bearer token for curl")
    one.add_argument("person", help="a person's key, address or object id; or: platform")
    one.add_argument("--forgery", choices=[each.value for each in Forgery], default="none")
    _add_cloud(one)
    one = commands.add_parser("environment", help="print the app's settings for a shell")
    _add_cloud(one)
    one = commands.add_parser("approve", help="open a consent link as an administrator")
    one.add_argument("person", help="who opens it: a person's key")
    one.add_argument("link", help="the link, as `consent-link` answers it")
    one.add_argument("--decline", action="store_true", help="press Cancel instead of Accept")
    _add_cloud(one)
    _add_act(commands.add_parser("act", help="do what people do in Outlook"))
    return parser


def _add_running(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, help="where the app listens (7071, or a free one)")
    parser.add_argument("--keep", action="store_true", help="keep tables and queues in .local/")
    parser.add_argument("--cors", help="origins, by commas, whose pages may call the app")
    parser.add_argument(
        "--credential",
        choices=("managed-identity", "certificate", "secret"),
        default="managed-identity",
        help="how the app proves itself to Entra",
    )


def _add_act(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("person", help="whose mailbox: a key, address or object id")
    parser.add_argument("act", choices=COMMANDS)
    parser.add_argument("session", help="a session's id")
    parser.add_argument(
        "--start",
        help="for propose and move: a time, in the person's own zone; for all-day: the first date",
    )
    parser.add_argument(
        "--end", help="the same; without, the length stays; for all-day: the last date"
    )
    parser.add_argument("--comment", default="")
    parser.add_argument("--on", help="one occurrence of a series: its date by the pattern")
    parser.add_argument("--decline", action="store_true", help="propose while declining")
    parser.add_argument("--silently", action="store_true", help="answer or delete without telling")
    parser.add_argument("--to", help="for attend and forward: an address; for move-to: a calendar")
    parser.add_argument(
        "--as", dest="kind", choices=KINDS, default=KINDS[0], help="for attend: what --to becomes"
    )
    _add_cloud(parser)


def _add_cloud(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cloud", type=Path, help="another cloud's file, as its start says")


if __name__ == "__main__":
    sys.exit(main())
