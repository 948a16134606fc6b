"""Flags of the earlier system's scripts that mean nothing here: taken, and answered with why."""

from typing import Any

import typer

from trajgen_assets.core.errors import ConfigError


def unneeded(flag: str, why: str) -> Any:
    """A hidden flag that changes nothing; who gives it hears why on stderr."""

    def say(context: typer.Context, given: bool) -> bool:
        if given and not context.resilient_parsing:  # as while a shell completes the line
            typer.echo(f"note: {flag} is not needed: {why}", err=True)
        return given

    return typer.Option(flag, hidden=True, callback=say)


def refused(flag: str, why: str, mend: str) -> Any:
    """A hidden flag for which something else stands here; who gives it hears what, and nothing is done."""

    def refuse(given: bool) -> bool:
        if given:
            raise ConfigError(f"{flag} of the earlier system is not to be had here", why=why, mend=mend)
        return given

    return typer.Option(flag, hidden=True, callback=refuse)
