"""Where trials run: Docker with its networks and images, the local sandbox, or another environment of Harbor."""

import json
import os
import socket
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, ip_network

import psutil

from trajgen_assets.core.counting import count_of
from trajgen_assets.core.errors import RequirementError
from trajgen_assets.core.paths import PROJECT
from trajgen_assets.core.preflight.findings import ENGINE_TIMEOUT_S, Finding, NotLookedError, Subject, ok, warn
from trajgen_assets.core.preflight.remote import remote_environment
from trajgen_assets.core.provision.setup import HARBOR
from trajgen_assets.core.provision.system import Survey, check_sandbox
from trajgen_assets.core.rollout.docker import ENGINE_MEND, ask_docker
from trajgen_assets.core.rollout.images import full_name, stored_images
from trajgen_assets.core.rollout.isolation import PROXY_ONLY, check_isolation
from trajgen_assets.core.rollout.plan import LOCAL_ENVIRONMENT, uses_docker

# What the engine takes networks from unless its daemon.json says otherwise: one for each compose project.
DEFAULT_POOLS = (("172.17.0.0/16", 16), ("172.18.0.0/16", 16), ("172.19.0.0/16", 16), ("172.20.0.0/14", 16),
                 ("172.24.0.0/14", 16), ("172.28.0.0/14", 16), ("192.168.0.0/16", 20))  # fmt: skip
N_IMAGES_SHOWN = 3
N_LISTINGS = 5
PULLS = "they are pulled when first used; anonymous pulls from Docker Hub are limited to 100 in six hours"


def environment(subject: Subject) -> Finding:
    """Sandboxes can be made."""
    name = subject.config.runtime_info.input.harbor_job.environment
    if uses_docker(name):
        if isinstance(subject.engine, RequirementError):
            raise subject.engine
        return ok(f"Docker {subject.engine} with compose v2 answers", subject=name)
    if name != LOCAL_ENVIRONMENT:
        return remote_environment(subject)
    found = check_sandbox(Survey(PROJECT, subject.root.env, os.environ, sandbox=True, is_root=os.geteuid() == 0))
    if not found.ok:
        raise RequirementError("the local sandbox cannot be made", why=found.detail, mend=found.mend)
    return ok(f"{found.detail}; it is no security boundary", subject=name)


def networks(subject: Subject) -> Iterable[Finding]:
    """Docker has a free network for each trial at once; every compose project takes one.

    One of several containers takes another while its agent works, where that may reach nothing but the proxy.
    """
    harbor_job = subject.config.runtime_info.input.harbor_job
    if not uses_docker(harbor_job.environment):
        return []
    subject.need_engine()
    n_each = 2 if harbor_job.network == PROXY_ONLY and subject.demand.has_services else 1
    pool = pool_subnets(ask_docker("info", "--format", "{{json .DefaultAddressPools}}", timeout_s=ENGINE_TIMEOUT_S))
    n_free, n = len(free_subnets(pool, [*_taken(), *_of_host()])), subject.n_at_once
    if n_free < n * n_each:
        raise RequirementError(
            f"Docker has {count_of(n_free, 'network')} left, and {count_of(n, 'trial')} at once take {n * n_each}",
            where="default-address-pools",
            mend="run `docker network prune`, set more default-address-pools in daemon.json, or lower n_concurrent",
        )
    return [ok(f"{n_free} of {len(pool)} are free, {count_of(n, 'trial')} at once take {n * n_each}")]


def isolation(subject: Subject) -> Iterable[Finding]:
    """Agents can be kept from all but the proxy, where the configuration asks for it."""
    harbor_job = subject.config.runtime_info.input.harbor_job
    if harbor_job.network != PROXY_ONLY:
        return []
    if not uses_docker(harbor_job.environment):
        return [ok(f"{harbor_job.environment} has no network at all")]
    subject.need_engine()
    if not (python := subject.root.env / HARBOR / "bin" / "python").exists():
        raise NotLookedError("Harbor's environment is not set up")
    if (open_way := check_isolation(python)) is not None:
        mend = "use a later Docker engine, whose containers cannot open such sockets, or another machine"
        return [warn(f"while an agent works in them containers reach the proxy, and {open_way}", mend)]
    return [ok("containers reach the proxy and nothing else while an agent works in them")]


def images(subject: Subject, *, timeout_s: float = ENGINE_TIMEOUT_S) -> Iterator[Finding]:
    """The images that the tasks begin from are here. The engine is asked once, however many they are."""
    if not uses_docker(subject.config.runtime_info.input.harbor_job.environment):
        return
    subject.need_engine()
    needed = subject.demand.images
    try:
        here = stored_images(timeout_s=timeout_s)
    except RequirementError as error:
        yield warn(f"whether {len(needed)} base images are here is not known: {error.what}, {error.why}", ENGINE_MEND)
        return
    missing = [image for image in needed if full_name(image) not in here]
    if missing:
        shown = ", ".join(missing[:N_IMAGES_SHOWN]) + (" and more" if len(missing) > N_IMAGES_SHOWN else "")
        yield warn(f"{len(missing)} of {len(needed)} base images are not here: {shown}", PULLS)
    else:
        yield ok(f"{count_of(len(needed), 'base image')} of {count_of(subject.demand.n_tasks, 'task')} here")


def free_subnets(pool: Iterable[IPv4Network], taken: Iterable[IPv4Network]) -> list[IPv4Network]:
    """The subnets of `pool` that overlap with none that is taken."""
    busy = list(taken)
    return [subnet for subnet in pool if not any(subnet.overlaps(each) for each in busy)]


def pool_subnets(text: str) -> list[IPv4Network]:
    """What the engine's pools divide into. An engine that names none has the defaults."""
    named = json.loads(text) or []
    pools = [(each["Base"], each["Size"]) for each in named] or list(DEFAULT_POOLS)
    bases = [(IPv4Network(base), size) for base, size in pools if ":" not in base]
    return [subnet for base, size in bases for subnet in base.subnets(new_prefix=size)]


def _taken() -> list[IPv4Network]:
    shown = _networks_shown()
    configs = [each for line in shown.splitlines() for each in json.loads(line) or []]
    found = [ip_network(each["Subnet"]) for each in configs if each.get("Subnet")]
    return [each for each in found if isinstance(each, IPv4Network)]


def _networks_shown() -> str:
    """The subnets of all networks, one a line; listed anew where a trial that ended took one away meanwhile."""
    for n_left in range(N_LISTINGS, 0, -1):
        ids = ask_docker("network", "ls", "--quiet", "--no-trunc", timeout_s=ENGINE_TIMEOUT_S).split()
        try:
            return ask_docker(
                "network", "inspect", "--format", "{{json .IPAM.Config}}", *ids, timeout_s=ENGINE_TIMEOUT_S
            )
        except RequirementError as error:
            if n_left == 1 or "not found" not in (error.why or ""):
                raise
    return ""


def _of_host() -> list[IPv4Network]:
    """The networks that this host is in: the engine gives none of theirs away."""
    listed = (address for addresses in psutil.net_if_addrs().values() for address in addresses)
    inet = [each for each in listed if each.family == socket.AF_INET and each.netmask]
    return [IPv4Network((each.address, each.netmask), strict=False) for each in inet]
