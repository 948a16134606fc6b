"""How long, how dear and how large a campaign gets, and which resource binds first; docs/scale.md explains the figures.

    .venv/bin/python benchmarks/scale.py --n-tasks 10000 --n-hosts 4 --requests-per-min 2000 [--json]
    .venv/bin/python benchmarks/scale.py --check 500

The first prints what follows from unit costs that were measured; every field of the workload and of the fleet is an
option. The second rolls so many copies of the bundled tasks out, with terminus-2, the `local` sandbox and the scripted
model, two at a time, and sets what was forecast beside what was measured. For that, a trial's cost in Harbor is taken
from plain `harbor run` of few tasks, and how many calls of which size it makes from a job of few; the other unit costs
are those of the first.
"""

import argparse
import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.scale_model import Cpu, Fleet, Forecast, UnitCosts, Workload, forecast

# Of these the least is not 0: something is divided by each.
DIVISORS = {
    "n_hosts", "cores", "memory_gb", "trials_at_once", "n_concurrent", "requests_per_min", "tokens_per_min",
    "tokens_per_s", "batch",
}  # fmt: skip


def main() -> None:
    """Print a forecast, or hold one against a run."""
    arguments = _arguments()
    if arguments.check:
        from benchmarks.scale_check import checked  # it imports Dagster, for which a forecast would wait seconds

        print(checked(arguments.check))
        return
    found = forecast(Workload(**_given(Workload, arguments)), Fleet(**_given(Fleet, arguments)), UnitCosts())
    print(json.dumps(found.as_json(), indent=1) if arguments.json else table(found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    for made in (Workload(n_tasks=10_000), Fleet()):
        group = parser.add_argument_group(type(made).__name__.lower())
        for each in fields(made):
            value = getattr(made, each.name)
            kind = float if value is None else type(value)
            group.add_argument(f"--{each.name.replace('_', '-')}", type=kind, default=value, help=f"default: {value}")
    parser.add_argument("--json", action="store_true", help="the forecast for programs")
    parser.add_argument("--check", type=int, metavar="N", help="roll N tasks out here, and compare")
    arguments = parser.parse_args()
    for name, value in vars(arguments).items():
        if isinstance(value, int | float) and (value < 0 or (value == 0 and name in DIVISORS)):
            parser.error(f"argument --{name.replace('_', '-')}: {value} is too small")
    return arguments


def _given(kind: type[Workload | Fleet], arguments: argparse.Namespace) -> dict[str, Any]:
    return {each.name: getattr(arguments, each.name) for each in fields(kind)}


def table(found: Forecast) -> str:
    """A forecast as Markdown."""
    lines = [f"At least {found.hours:.1f} hours: {found.binds} bind first.", ""]
    lines += ["| resource | hours that it alone would need |", "|---|---|"]
    lines += [f"| {name} | {hours:.2f} |" for name, hours in found.alone_h.items()]
    sizes = {
        "model, US dollars": f"{found.cost_usd:,.0f}",
        "CPU of proxies, Harbor, run workers, conversion, hours": _hours(found.cpu),
        "records and files of trials, GB": f"{found.disk_gb:,.1f} ({found.compressed_gb:,.1f} compressed)",
        "ledger, GB": f"{found.ledger_gb:.3f}",
        "Dagster's storage, GB": f"{found.events_gb:.3f}",
        "memory of a host": f"{found.memory_share:.0%}",
    }
    lines += ["", "| what it takes | |", "|---|---|", *(f"| {name} | {value} |" for name, value in sizes.items())]
    return "\n".join([*lines, *(f"\n{note}" for note in found.notes)])


def _hours(cpu: Cpu) -> str:
    return ", ".join(f"{each / 3600:.1f}" for each in (cpu.proxy, cpu.harness, cpu.worker, cpu.conversion))


if __name__ == "__main__":
    main()
