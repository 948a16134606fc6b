"""A twin of agents that call tools, behind the proxy: what it sends and what it is answered, in OpenAI's form."""

import json
from typing import Any

from tests.unit.sft.twin import Record, TerminusTwin

SYSTEM = {"role": "system", "content": [{"type": "text", "text": "You are an agent."}]}
TASK = {"role": "user", "content": "Fix add() in calc.py."}
TOOLS = [
    {"type": "function", "function": {"name": name, "description": name, "parameters": {"type": "object"}}}
    for name in ("Bash", "Edit", "Write")
]


def tool_call(id_: str, arguments: str = '{"command": "ls"}', name: str = "Bash") -> Record:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def tool_result(id_: str, content: Any = "calc.py") -> Record:
    return {"role": "tool", "tool_call_id": id_, "content": content}


def user(content: Any) -> Record:
    return {"role": "user", "content": content}


class AgentTwin(TerminusTwin):
    """Keeps one dialogue; `answer` adds the model's answer to it as the agent will send it back."""

    def __init__(self, session: str | None = "s1") -> None:
        super().__init__()
        self.session = session
        self.chat = [SYSTEM, TASK]

    def answer(self, content: str, *calls: Record, reasoning: str | None = "Think.") -> "AgentTwin":
        """One call at work. The agent sends the answer back without its thoughts."""
        self.request(self.chat, content, *calls, reasoning=reasoning)
        self.chat = [*self.chat, {"role": "assistant", "content": content, "tool_calls": list(calls)}]
        return self

    def tell(self, *messages: Record) -> "AgentTwin":
        """What stands between two answers: results of tools, words of the user."""
        self.chat = [*self.chat, *messages]
        return self

    def request(
        self,
        history: list[Record],
        content: str,
        *calls: Record,
        reasoning: str | None = None,
        tools: list[Record] = TOOLS,
    ) -> Record:
        """One call of any kind, which changes nothing about the dialogue."""
        record = self.call(history, content, reasoning, client_session_id=self.session)
        record["request_body"]["tools"] = json.loads(json.dumps(tools))
        if calls:
            record["response_body"]["choices"][0]["message"]["tool_calls"] = json.loads(json.dumps(calls))
        return record


def fixed() -> AgentTwin:
    """A whole short trial: two turns with calls, the second with two at once, and a last word."""
    return (
        AgentTwin()
        .answer("Look first.", tool_call("c1"))
        .tell(tool_result("c1"))
        .answer("", tool_call("c2", '{"command": "cat calc.py"}'), tool_call("c3", '{"n": 1}', "Edit"))
        .tell(tool_result("c2", "return a - b"), tool_result("c3", [{"type": "text", "text": "ok"}]))
        .answer("Done.")
    )
