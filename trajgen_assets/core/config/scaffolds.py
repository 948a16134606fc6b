"""Which agent scaffolds there are, and which of them can be rolled out and converted now."""

from collections.abc import Mapping
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

# Names that configurations of the bash system use; each is refused with a word that says so.
KNOWN_SCAFFOLDS: Mapping[str, Scaffold] = MappingProxyType(
    {
        **SUPPORTED_SCAFFOLDS,
        "custom-claude-code": Scaffold("custom-claude-code", "claude_code"),
        "claude-code": Scaffold("claude-code", "claude_code"),
        "custom-opencode": Scaffold("custom-opencode", "open_code"),
        "opencode": Scaffold("opencode", "open_code"),
        "custom-openhands-sdk": Scaffold("custom-openhands-sdk", "openhands_sdk"),
        "openhands-sdk": Scaffold("openhands-sdk", "openhands_sdk"),
        "openhands": Scaffold("openhands", "openhands_sdk"),
    }
)


def scaffold_problem(agent: str) -> str | None:
    """Why `agent` cannot be rolled out, or None if it can."""
    supported = ", ".join(SUPPORTED_SCAFFOLDS)
    if agent in SUPPORTED_SCAFFOLDS:
        return None
    if agent in KNOWN_SCAFFOLDS:
        return f"{agent} is not supported yet; supported now: {supported}"
    return f"{agent[:80]!r} is no known agent; supported now: {supported}"


def sft_scaffold_problem(scaffold: str) -> str | None:
    """Why trajectories of `scaffold` cannot be converted, or None if they can (`auto` can)."""
    supported = {AUTO, *(each.sft for each in SUPPORTED_SCAFFOLDS.values() if each.sft)}
    if scaffold in supported:
        return None
    known = any(scaffold == each.sft for each in KNOWN_SCAFFOLDS.values())
    state = f"{scaffold} is not supported yet" if known else f"{scaffold[:80]!r} is no known scaffold"
    return f"{state}; supported now: {', '.join(sorted(supported))}"
