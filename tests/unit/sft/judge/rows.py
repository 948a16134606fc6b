"""Short IM rows to be judged."""

from trajgen_assets.core.sft.messages import Json


def row_of(task: str, *, answer: str = "Done.", result: str = "ok", **facts: str) -> Json:
    """A row of one call and a last word. `task` as a keyword is added to the user's words."""
    call = {"id": "c", "type": "function", "function": {"name": "bash", "arguments": '{"command":"ls"}'}}
    return {
        "meta_info": {"unique_info": {"_agent_type": "main", "trial": "fix__x", "conversation": 0} | facts},
        "tools": [{"name": "bash", "description": "Runs.", "parameters": {}}],
        "messages": [
            {"role": "system", "content": "You are an agent."},
            {"role": "user", "content": task},
            {"role": "assistant", "content": "", "reasoning_content": "Look.", "tool_calls": [call]},
            {"role": "tool", "content": result, "tool_call_id": "c"},
            {"role": "assistant", "content": answer, "reasoning_content": ""},
        ],
    }
