"""Whether this is the machine that the block was declared for, and whether what runs here outlives its terminal."""

import os
import shlex
import socket
import sys
from ipaddress import ip_address

import psutil

from trajgen_assets.core.config.models import Resources
from trajgen_assets.core.errors import RefusedError
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.preflight.findings import Finding, Subject, ok, warn

KEY = "meta_info.resources.ip"
HERE = frozenset({"local", "localhost"})
SESSION = "trajgen"
# The shell stays in the session behind the command, so that what it said can still be read.
JOB = '.venv/bin/trajgen start; exec "${SHELL:-sh}"'
MULTIPLEXERS = {"TMUX": "tmux", "STY": "screen"}


def declared_host(subject: Subject) -> Finding:
    """This is the machine that the configuration names, or it names none."""
    resources = subject.config.meta_info.resources
    refuse_elsewhere(resources)
    return ok(f"{KEY} is {resources.ip}")


def refuse_elsewhere(resources: Resources) -> None:
    """Let a job begin only on the machine that it was declared for.

    Raises:
        RefusedError: that is another one; it says the line that begins the job there.
    """
    if is_here(resources.ip):
        return
    what = f"jobs of this configuration run on {resources.ip}, and this is another machine"
    own = f"if that is a name of this machine that it does not know itself by, set {KEY} to local"
    raise RefusedError(what, where=KEY, mend=f"{own}; else begin the job there: {line_for(resources)}")


def is_here(ip: str) -> bool:
    """Whether `local`, an address or a name means this machine. A name is looked up only if it is not this one's."""
    if ip in HERE or ip.casefold() == socket.gethostname().casefold():
        return True
    return bool(_addresses_of(ip) & own_addresses())


def own_addresses() -> set[str]:
    """Every address of this machine, without the zone that some of them have."""
    found = {each.address for of_one in psutil.net_if_addrs().values() for each in of_one}
    return {_normal(address) for address in found} - {""}


def line_for(resources: Resources) -> str:
    """The command that begins a job on the declared machine, in a session that outlives the connection.

    It is safe to paste whatever the configuration says: each value is one word for both shells.
    """
    login = f"{resources.user}@{resources.ip}" if resources.user else resources.ip
    session = f"tmux new-session -A -s {SESSION} {shlex.quote(JOB)}"
    there = f"cd -- {_folder(resources.directory or str(PROJECT))} && {session}"
    return f"ssh -t -- {shlex.quote(login)} {shlex.quote(there)}"


def terminal(_: Subject) -> Finding:
    """What is begun here goes on when the terminal closes."""
    for variable, name in MULTIPLEXERS.items():
        if os.environ.get(variable):
            return ok(f"inside {name}: what is begun here outlives the connection")
    if not sys.stdin.isatty():
        return ok("no terminal")
    mend = f"begin long jobs inside tmux: tmux new-session -A -s {SESSION}"
    return warn("a job that is begun here is interrupted when this terminal closes", mend)


def _folder(folder: str) -> str:
    """As one word for a shell; a leading `~/` stays what it means there."""
    home, rest = ("~/", folder[2:]) if folder.startswith("~/") else ("", folder)
    return home + (shlex.quote(rest) if rest or not home else "")


def _addresses_of(ip: str) -> set[str]:
    if plain := _normal(ip):
        return {plain}
    try:
        return {_normal(str(found[4][0])) for found in socket.getaddrinfo(ip, None)}
    except OSError:  # nobody knows the name, so it is none of this machine
        return set()


def _normal(address: str) -> str:
    """An address in its shortest form; empty for what is none, as that of a network card."""
    try:
        return str(ip_address(address.partition("%")[0]))
    except ValueError:
        return ""
