"""OpenHands SDK: tools, thoughts that are never sent again, and events that its condenser replaces by a summary.

A dialogue whose events were condensed is a conversation of its own.
"""

from types import MappingProxyType

from trajgen_assets.core.sft.scaffolds.recorded import RecordedScaffold

# First words of the prompts of calls beside its work (OpenHands SDK 1.58.2); earlier versions have no system prompt.
PROMPTS = {
    "You are maintaining a context-aware state summary": "summary",
    "You are a helpful assistant that generates concise, descriptive titles": "title",
}


class OpenHandsSdk(RecordedScaffold):
    """The conversations of an OpenHands trial."""

    name = "openhands_sdk"
    prompts = MappingProxyType(PROMPTS)
    system_prompts = MappingProxyType(PROMPTS)
