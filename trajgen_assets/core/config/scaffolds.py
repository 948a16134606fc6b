"""Which agent scaffolds there are, and which of them can be rolled out and converted now."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Scaffold:
    """An agent harness.

    Attributes:
        agent: its name as `agent.name`.
        sft: its name as `sft_conversion.scaffold`; None for one whose trajectories are no training data.
        import_path: `module:Class` of the agent that Harbor runs, in the guest folder.
        settings: those fields of `agent` that it takes as options.
        options: what else it is always told.
    """

    agent: str
    sft: str | None
    import_path: str = ""
    settings: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


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
# Asks the model once and applies the reference solution: it shows that a host works, and measures nothing else.
HOST_CHECK = Scaffold(ORACLE, None, import_path="trial_key_oracle:TrialKeyOracle")

SUPPORTED_SCAFFOLDS: Mapping[str, Scaffold] = MappingProxyType(
    {each.agent: each for each in (TERMINUS_2, HOST_CHECK)},
)

# Those that are to come. One that can be rolled out moves to the scaffolds above, with its agent and its settings.
PLANNED_SCAFFOLDS: Mapping[str, Scaffold] = MappingProxyType(
    {
        each.agent: each
        for each in (
            Scaffold("claude-code", "claude_code"),
            Scaffold("opencode", "open_code"),
            Scaffold("openhands-sdk", "openhands_sdk"),
        )
    }
)

# What configurations of the earlier system call an agent, and what it is called here.
EARLIER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "custom-claude-code": "claude-code",
        "custom-opencode": "opencode",
        "custom-openhands-sdk": "openhands-sdk",
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
    if name in PLANNED_SCAFFOLDS:
        called = agent if agent == name else f"{agent} is the scaffold {name} here, which"
        return f"{called} is not supported yet; {supported}"
    return f"{agent[:80]!r} is no known agent; {supported}"


def earlier_name(agent: str) -> Iterator[str]:
    """A word about an agent that is named as the earlier system did."""
    if agent in EARLIER_NAMES:
        yield f" {agent} is the scaffold {EARLIER_NAMES[agent]} here"


def sft_scaffold_problem(scaffold: str) -> str | None:
    """Why trajectories of `scaffold` cannot be converted, or None if they can (`auto` can)."""
    supported = {AUTO, *(each.sft for each in SUPPORTED_SCAFFOLDS.values() if each.sft)}
    if scaffold in supported:
        return None
    is_planned = any(scaffold == each.sft for each in PLANNED_SCAFFOLDS.values())
    state = f"{scaffold} is not supported yet" if is_planned else f"{scaffold[:80]!r} is no known scaffold"
    return f"{state}; supported now: {', '.join(sorted(supported))}"
