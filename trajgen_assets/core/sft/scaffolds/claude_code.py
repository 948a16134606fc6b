"""Claude Code: tools, thoughts sent back, subagents, and a summary in the place of a history that grew too long.

It speaks Anthropic's dialect; the record has it in OpenAI's. Reminders of its own stand as messages of the user
beside the task and beside tool results. It tidies up the model's commands before it runs them and sends them back
changed. A dialogue that goes on from a summary is a conversation of its own, as is each subagent's.
"""

from types import MappingProxyType

from trajgen_assets.core.sft.records import Exchange
from trajgen_assets.core.sft.scaffolds.recorded import RecordedScaffold, texts_of

# First words of the prompts for calls beside its work (Claude Code 2.1.329; topic and title are of earlier versions).
PROMPTS = {
    "Your task is to create a detailed summary of": "summary",
    "CRITICAL: Respond with TEXT ONLY": "summary",
    "The user stepped away and is coming back.": "recap",
    "[SUGGESTION MODE:": "suggestion",
    "Perform a web search for the query:": "web search",
    "Web page content:": "web page",
}
SYSTEM_PROMPTS = {
    "Generate a short kebab-case name": "title",
    "Generate a concise, sentence-case title": "title",
    "Summarize this coding conversation": "title",
    "Analyze if this message indicates a new conversation topic": "topic detection",
    "Write a short summary label": "label",
}
QUOTA_PROBE = "quota"


class ClaudeCode(RecordedScaffold):
    """The conversations of a Claude Code trial."""

    name = "claude_code"
    prompts = MappingProxyType(PROMPTS)
    system_prompts = MappingProxyType(SYSTEM_PROMPTS)
    always_offers_tools = True
    edit_tools = frozenset({"edit", "write"})

    def side_call(self, exchange: Exchange) -> str | None:
        """Know, besides prompts, the word by which it asks at its start whether its quota is used up."""
        if len(exchange.history) == 1 and [text.strip() for text in texts_of(exchange.history[0])] == [QUOTA_PROBE]:
            return "quota probe"
        return super().side_call(exchange)
