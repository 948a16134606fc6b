"""Which agent scaffolds there are, and how each is rolled out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from enum import StrEnum
from types import MappingProxyType
from typing import Any


class Harness(StrEnum):
    """The program that runs a scaffold on a task."""

    HARBOR = "harbor"
    OPENHANDS = "openhands"


class Place(StrEnum):
    """Where a scaffold's own program runs, and from where it calls the model."""

    HOST = "host"
    CONTAINER = "container"


@dataclass(frozen=True)
class Scaffold:
    """An agent harness.

    Attributes:
        agent: its name as `agent.name`.
        sft: its name as `sft_conversion.scaffold`; None for one whose trajectories are no training data.
        import_path: `module:Class` of the agent that Harbor runs, in the guest folder.
        settings: those fields of `agent` that it takes as options.
        by_proxy: those that it does not heed; the proxy sets them in its model calls, or refuses calls beyond them.
        n_other_calls: how many of its model calls are no turns.
        options: what else it is always told.
        place: where it runs.
        provider: what it is told to be the model's provider, which decides the dialect that it speaks to the proxy.
        harness: what runs it.
    """

    agent: str
    sft: str | None
    import_path: str = ""
    settings: tuple[str, ...] = ()
    by_proxy: tuple[str, ...] = ()
    n_other_calls: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    place: Place = Place.HOST
    provider: str = "openai"
    harness: Harness = Harness.HARBOR

    def honours(self, setting: str) -> bool:
        """Whether a field of `agent` makes a difference to its trials."""
        return setting in (*self.settings, *self.by_proxy)


DEFAULT_AGENT = "terminus-2"
ORACLE = "oracle"
AUTO = "auto"

TERMINUS_2 = Scaffold(
    DEFAULT_AGENT,
    "terminus2",
    import_path="trial_key_agent:TrialKeyTerminus2",
    settings=("max_turns", "temperature"),
    options={"record_terminal_session": False},
)


def _in_container(agent: str, sft: str, import_path: str, provider: str) -> Scaffold:
    """A scaffold whose program runs in the trial's container.

    Its temperature is set by the proxy: Claude Code cannot be told one, OpenHands drops it for models that reason, and
    OpenCode has others for its title and its subagents.
    """
    return Scaffold(
        agent,
        sft,
        import_path=import_path,
        settings=("max_turns", "version"),
        by_proxy=("temperature",),
        place=Place.CONTAINER,
        provider=provider,
    )


CLAUDE_CODE = _in_container("claude-code", "claude_code", "trial_key_claude_code:TrialKeyClaudeCode", "anthropic")
# At its limit of steps OpenCode asks the model to stop, and goes on with one that does not; it also asks for a title.
OPENCODE = replace(
    _in_container("opencode", "open_code", "trial_key_opencode:TrialKeyOpenCode", "trajgen"),
    settings=("version",),
    by_proxy=("max_turns", "temperature"),
    n_other_calls=1,
)
OPENHANDS = _in_container("openhands-sdk", "openhands_sdk", "trial_key_openhands:TrialKeyOpenHands", "openai")
MINI_SWE_AGENT = _in_container(
    "mini-swe-agent", "mini_swe_agent", "trial_key_mini_swe_agent:TrialKeyMiniSweAgent", "openai"
)
# The agent of OpenHands' own Multi-SWE-bench harness: it runs on the host, and its commands in containers of its own.
OPENHANDS_CODEACT = Scaffold(
    "openhands-codeact", "openhands_codeact", settings=("max_turns", "temperature"), harness=Harness.OPENHANDS
)
# Asks the model once and applies the reference solution: it shows that a host works, and measures nothing else.
HOST_CHECK = Scaffold(ORACLE, None, import_path="trial_key_oracle:TrialKeyOracle")

SUPPORTED_SCAFFOLDS: Mapping[str, Scaffold] = MappingProxyType(
    {
        each.agent: each
        for each in (TERMINUS_2, CLAUDE_CODE, OPENCODE, OPENHANDS, MINI_SWE_AGENT, OPENHANDS_CODEACT, HOST_CHECK)
    },
)

# What configurations of the earlier system call an agent, and what it is called here.
EARLIER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "custom-claude-code": "claude-code",
        "custom-opencode": "opencode",
        "custom-openhands-sdk": "openhands-sdk",
        "custom-mini-swe-agent": "mini-swe-agent",
        "openhands": "openhands-sdk",
        "terminus2": DEFAULT_AGENT,
        "custom-terminus-2": DEFAULT_AGENT,
    }
)


def scaffold_of(agent: str) -> Scaffold:
    """The scaffold that `agent.name` means, under either name. Raises KeyError if it cannot be rolled out."""
    return SUPPORTED_SCAFFOLDS[EARLIER_NAMES.get(agent, agent)]


def scaffold_problem(agent: str) -> str | None:
    """Why `agent` cannot be rolled out, or None if it can."""
    supported = f"supported now: {', '.join(SUPPORTED_SCAFFOLDS)}"
    name = EARLIER_NAMES.get(agent, agent)
    if name in SUPPORTED_SCAFFOLDS:
        return None
    near = get_close_matches(agent, [*SUPPORTED_SCAFFOLDS, *EARLIER_NAMES], n=1, cutoff=0.85)
    nearest = f"the nearest is {near[0]}; " if near else ""
    return f"{agent[:80]!r} is no known agent; {nearest}{supported}"


def earlier_name(agent: str) -> Iterator[str]:
    """A word about an agent that is named as the earlier system did."""
    if agent in EARLIER_NAMES:
        yield f" {agent} is the scaffold {EARLIER_NAMES[agent]} here"


def harness_problem(scaffold: Scaffold, harness: Harness) -> str | None:
    """Why `harness` does not roll `scaffold` out, or None if it does."""
    if scaffold.harness is harness:
        return None
    of_it = ", ".join(each.agent for each in SUPPORTED_SCAFFOLDS.values() if each.harness is harness)
    return f"{scaffold.agent} is rolled out by {scaffold.harness}, and rollout.harness is {harness}, which has {of_it}"


def place_problem(scaffold: Scaffold, environment: str, *, has_public_url: bool) -> str | None:
    """Why `scaffold` cannot work in `environment`, or None if it can."""
    if scaffold.place is Place.HOST or environment == "docker" or (has_public_url and environment != "local"):
        return None
    works = f"{scaffold.agent} runs inside the sandbox and calls the model from there"
    if environment == "local":
        return (
            f"{works}, which needs a container of Docker: "
            f"set harbor_job.environment to docker (it is {environment}), or choose {DEFAULT_AGENT}"
        )
    return (
        f"{works}: set litellm_proxy.public_url to an address at which sandboxes of {environment} reach this host's "
        f"proxy, or choose {DEFAULT_AGENT}"
    )


def sft_name_of(scaffold: str) -> str:
    """What training data calls a scaffold that is named so, or by its agent's name; any other word as it is."""
    known = SUPPORTED_SCAFFOLDS.get(EARLIER_NAMES.get(scaffold, scaffold))
    return known.sft if known is not None and known.sft is not None else scaffold


def sft_scaffold_problem(scaffold: str) -> str | None:
    """Why `sft_conversion.scaffold` is no name of a scaffold; None if it is one, or `auto`."""
    named = {each.sft for each in SUPPORTED_SCAFFOLDS.values() if each.sft} | {AUTO}
    return None if scaffold in named else f"{scaffold[:80]!r} is no known scaffold; known: {', '.join(sorted(named))}"
