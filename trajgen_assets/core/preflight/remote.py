"""Environments of Harbor that are not on this host: what each needs to be used from here, and the way to the proxy."""

import json
from collections.abc import Iterator
from typing import Any

from trajgen_assets.core.config.scaffolds import Place
from trajgen_assets.core.errors import RefusedError, RequirementError
from trajgen_assets.core.guest import guest_modules
from trajgen_assets.core.preflight.findings import Finding, NotLookedError, Subject, ok, warn
from trajgen_assets.core.process import child_env
from trajgen_assets.core.provision.command import run
from trajgen_assets.core.provision.setup import HARBOR
from trajgen_assets.core.rollout.harbor import QUIET_ENV

SCRIPT = "environment_check.py"
CHECK_TIMEOUT_S = 20.0
EVERYWHERE = "0.0.0.0"  # noqa: S104  the address that is warned of


def remote_environment(subject: Subject) -> Finding:
    """Harbor can make sandboxes there, as far as this host can tell: packages, settings, keys and programs.

    Raises:
        RequirementError: it lacks one of them.
        NotLookedError: there is no Harbor yet that could be asked.
    """
    name = subject.config.runtime_info.input.harbor_job.environment
    found = _asked(subject, name)
    if packages := found["packages"]:
        extra = found["extra"] or "cloud"
        raise RequirementError(
            f"Harbor's environment lacks what {name} needs",
            why=", ".join(packages),
            mend=f"write harbor[{extra}] for harbor in locks/harbor.in, run `make locks`, then `trajgen setup-envs`",
        )
    if options := found["options"]:
        listed = ", ".join(f"{each}: …" for each in options)
        what = f"{name} cannot be used without {', '.join(options)}"
        raise RequirementError(what, mend=f"set harbor_job.environment_options: {{{listed}}}")
    if refusal := found["refusal"]:
        mend = "install the program it names; a variable it names belongs into env_extra, as NAME: ${NAME}"
        raise RequirementError(f"Harbor refuses {name}", why=refusal, mend=mend)
    return ok("Harbor has all that it needs here; the account and its quotas are not looked at", subject=name)


def way_to_proxy(subject: Subject) -> Iterator[Finding]:
    """By which address agents in sandboxes call the proxy. Whether it leads there is asked as a job begins."""
    proxy = subject.config.runtime_info.input.litellm_proxy
    scaffolds = [subject.config.campaign(name).agent.scaffold for name in subject.campaigns]
    inside = sorted({each.agent for each in scaffolds if each.place is Place.CONTAINER})
    if proxy.public_url is None:
        return
    if not inside:
        yield ok("litellm_proxy.public_url is not needed: agents are processes of this host", subject="proxy")
        return
    text = f"{', '.join(inside)} call it at {proxy.public_url}; asked from within a sandbox before the first trial"
    if subject.config.proxy_host == EVERYWHERE:
        mend = "set litellm_proxy.host to the one address that sandboxes come to"
        yield warn(f"{text}; it listens on every address of this host", mend, subject="proxy")
    elif proxy.public_url.startswith("http:") and subject.config.proxy_host is None:
        mend = "use https, or be sure that nobody listens between here and the sandboxes"
        yield warn(f"{text}; keys and conversations go there in clear", mend, subject="proxy")
    else:
        yield ok(text, subject="proxy")


def _asked(subject: Subject, name: str) -> dict[str, Any]:
    python = subject.root.env / HARBOR / "bin" / "python"
    if not python.exists():
        raise NotLookedError("Harbor's environment is not set up")
    options = json.dumps(subject.config.runtime_info.input.harbor_job.environment_options)
    env = child_env({**QUIET_ENV, "PYTHONDONTWRITEBYTECODE": "1", **subject.config.child_env()})
    done = run([python, guest_modules()[SCRIPT], name, options], env=env, timeout_s=CHECK_TIMEOUT_S)
    try:
        found: dict[str, Any] = json.loads(done.tail[-1])
    except (IndexError, ValueError):
        what = f"what {name} needs could not be asked"
        raise RefusedError(what, where=python, why=done.reason, mend="run `trajgen setup-envs --rebuild`") from None
    return found
