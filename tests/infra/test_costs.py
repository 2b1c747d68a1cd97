"""The monthly sums of docs/deploy.md, counted again from its assumptions and the list prices.

Source of the prices, US dollars, East US: https://azure.microsoft.com/pricing/details/functions/,
/storage/queues/ and /monitor/.
"""

import math
import re
from pathlib import Path
from typing import Final

import pytest

DOCUMENT: Final = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text()
MONTH_SECONDS: Final = 30 * 86_400
READY, EXECUTION = 0.000004, 0.40 / 1e6
ON_READY, ON_DEMAND = 0.000016, 0.000026
"""A GB-second of work, on an always-ready instance and on another."""
FREE_EXECUTIONS, FREE_GB_SECONDS = 250_000, 100_000
TRANSACTION, LOG_GB, FREE_LOG_GB = 0.004 / 10_000, 2.76, 5
ALERTS: Final = 10
SIZES: Final = {"small": (500, 1, 512), "middle": (10_000, 2, 2048), "large": (100_000, 2, 2048)}


def rows() -> dict[str, list[str]]:
    """Return the cells of each row of the table of sums, by the row's first words."""
    table = DOCUMENT.split("| | small:")[1].split("\n\n")[0]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {first.split(":")[0].strip("* "): values for first, *values in cells}


def counted(size: str) -> dict[str, float]:
    """Return the sums of *size*, by the first words of their rows."""
    users, instances, megabytes = SIZES[size]
    gigabytes, sessions = megabytes / 1024, 2 * users
    deliveries, timers = 110 * sessions / 20, 30 * 24 * (12 + 4)
    requests = 8 * users + deliveries
    on_ready = gigabytes * busy_seconds(requests, instances)
    on_demand = gigabytes * (busy_seconds(deliveries, 1) + timers)
    polls = 2 * 43_200 * 30
    log_gigabytes = 3 * (requests + deliveries + timers) * 1e3 / 1e9
    paid = requests + max(0, deliveries + timers - FREE_EXECUTIONS)
    return {
        "always ready": instances * gigabytes * MONTH_SECONDS * READY,
        "executions": paid * EXECUTION,
        "time of requests, on the always-ready instances": on_ready * ON_READY,
        "time of messages and timers, on demand": max(0, on_demand - FREE_GB_SECONDS) * ON_DEMAND,
        "storage transactions": (60 * sessions + polls) * TRANSACTION,
        "logs": max(0, log_gigabytes - FREE_LOG_GB) * LOG_GB,
        "alerts": ALERTS,
    }


def busy_seconds(arrivals: float, instances: int) -> float:
    """Return the seconds of a month that *instances* are billed for, each at least a second.

    *arrivals* come at random, and those within a second of another share it.
    """
    rate = arrivals / MONTH_SECONDS / instances
    return instances * MONTH_SECONDS * (1 - math.exp(-rate))


@pytest.mark.parametrize("size", SIZES)
def test_the_table_adds_up(size: str) -> None:
    expected, shown = counted(size), rows()
    column = list(SIZES).index(size)
    for name, amount in expected.items():
        said = shown[name][column].rpartition(":")[2]
        assert float(said) == pytest.approx(amount, abs=0.005), (name, amount)
    total = float(shown["about"][column].strip("* "))
    assert total == round(sum(expected.values()))


def test_zones_are_paid_for_each_group_of_functions() -> None:
    (row,) = (line for line in DOCUMENT.splitlines() if line.startswith("| Zone redundancy"))
    instances = 2 * 5  # HTTP, two queues, two timers: each scales by itself on Flex Consumption
    for dollars, megabytes in re.findall(r"(\d+) USD \((\d+) MB\)", row):
        paid = instances * int(megabytes) / 1024 * MONTH_SECONDS * READY
        assert int(dollars) == round(paid)
    ready = next(line for line in DOCUMENT.splitlines() if "an always-ready instance:" in line)
    for dollars, megabytes in re.findall(r"([\d.]+) USD \((\d+) MB\)", ready):
        assert float(dollars) == round(int(megabytes) / 1024 * MONTH_SECONDS * READY, 2)
