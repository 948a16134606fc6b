"""`python -m trajgen_assets.core.scripted`: the scripted model as a process of its own."""

import argparse
import os
from pathlib import Path

from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.scripted.faults import Fault, FaultPlan
from trajgen_assets.core.scripted.running import serve
from trajgen_assets.core.scripted.server import ScriptedServer


def main(argv: list[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM."""
    options = _parser().parse_args(argv)
    scripted = ScriptedServer(api_key=_api_key(options.api_key_env), latency_s=options.latency_s)
    scripted.faults.set(FaultPlan(fault=options.fault))
    serve(scripted, host=options.host, port=options.port, ready_file=options.ready_file)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trajgen_assets.core.scripted", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    parser.add_argument("--ready-file", type=Path, help="file to write the base URL into once the port is open")
    parser.add_argument("--api-key-env", metavar="NAME", help="variable with the bearer token that clients must send")
    parser.add_argument("--latency-s", type=float, default=0.0, help="seconds that every completion takes at least")
    parser.add_argument("--fault", type=Fault, choices=list(Fault), default=Fault.NONE, help="what goes wrong at first")
    return parser


def _api_key(variable: str | None) -> str | None:
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise ConfigError(f"{variable} is not set", where="--api-key-env", mend="set it, or leave the option out")
    return os.environ[variable]


if __name__ == "__main__":
    main()
