"""OpenCode: tools, thoughts sent back, a title asked for beside the work, subagents in sessions of their own.

A dialogue that goes on from a summary, or with old tool results taken out, is a conversation of its own.
"""

from types import MappingProxyType

from trajgen_assets.core.sft.scaffolds.recorded import RecordedScaffold

# First words of the system prompts of calls beside its work (OpenCode 1.18.33).
SYSTEM_PROMPTS = {
    "You are a title generator": "title",
    "You are a context summarization agent": "summary",
}


class OpenCode(RecordedScaffold):
    """The conversations of an OpenCode trial."""

    name = "open_code"
    system_prompts = MappingProxyType(SYSTEM_PROMPTS)
    always_offers_tools = True
    edit_tools = frozenset({"edit", "write"})
