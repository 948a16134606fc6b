"""Small twins of what OpenHands leaves: events, rows and completion files in the form of facts seen in real runs."""

import json
from pathlib import Path
from typing import Any

Json = dict[str, Any]

PATCH = "diff --git a/src/cli.py b/src/cli.py\n--- a/src/cli.py\n+++ b/src/cli.py\n@@ -1 +1 @@\n-a = 1\n+a = 2"
SYSTEM = "You are OpenHands agent, a helpful AI assistant that can interact with a computer to solve tasks."
TASK = "<uploaded_files>\n/workspace/acme__cli__0.1\n</uploaded_files>\nThe parser forgets its defaults."
MODEL = "openai/scripted"


def tool(name: str, *parameters: str) -> Json:
    schema = {"type": "object", "properties": {each: {"type": "string"} for each in parameters}}
    return {"type": "function", "function": {"name": name, "description": f"The {name} tool.", "parameters": schema}}


TOOLS = [
    tool("execute_bash", "command"),
    tool("think", "thought"),
    tool("finish", "message"),
    tool("str_replace_editor", "command", "path", "old_str", "new_str"),
]


def call(number: int, name: str, **arguments: str) -> Json:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": f"toolu_{number:02d}", "type": "function", "function": function}


def answer(text: str, *calls: Json) -> Json:
    return {"role": "assistant", "content": text} | ({"tool_calls": list(calls)} if calls else {})


def response(response_id: str, message: Json) -> Json:
    choice = {"index": 0, "finish_reason": "tool_calls" if message.get("tool_calls") else "stop", "message": message}
    usage = {"prompt_tokens": 900, "completion_tokens": 30, "total_tokens": 930}
    return {"id": response_id, "model": "scripted", "object": "chat.completion", "choices": [choice], "usage": usage}


def metadata_of_call(reply: Json, number: int) -> Json:
    calls = reply["choices"][0]["message"]["tool_calls"]
    mine = calls[number]
    return {
        "function_name": mine["function"]["name"],
        "tool_call_id": mine["id"],
        "model_response": reply,
        "total_calls_in_response": len(calls),
    }


def opening(tools: list[Json] | None = None) -> list[Json]:
    system_args = {"content": SYSTEM, "tools": TOOLS if tools is None else tools}
    system_args |= {"openhands_version": "0.62.0", "agent_class": "CodeActAgent"}
    return [
        {"id": 0, "source": "agent", "message": SYSTEM, "action": "system", "args": system_args},
        {"id": 1, "source": "user", "message": TASK, "action": "message", "args": {"content": TASK}},
        {"id": 2, "source": "user", "message": "", "action": "recall", "args": {"query": TASK}},
        {"id": 4, "source": "environment", "cause": 2, "observation": "recall", "content": "Added", "extras": {}},
    ]


def action(number: int, kind: str, reply: Json, nth: int = 0) -> Json:
    event = {"id": number, "source": "agent", "message": kind, "action": kind, "args": {"thought": ""}}
    return event | {"tool_call_metadata": metadata_of_call(reply, nth)}


def observed(number: int, kind: str, reply: Json, content: str, nth: int = 0, **extras: Any) -> Json:
    event = {"id": number, "source": "agent", "message": "", "cause": number - 1, "observation": kind}
    event |= {"content": content, "extras": extras}
    return event | {"tool_call_metadata": metadata_of_call(reply, nth)}


def ran(number: int, reply: Json, content: str, nth: int = 0, **metadata: Any) -> Json:
    facts = {"exit_code": 0, "working_dir": "/workspace", "py_interpreter_path": "", "prefix": "", "suffix": "\n[done]"}
    return observed(number, "run", reply, content, nth, command="ls", metadata=facts | metadata, hidden=False)


LOOK = response("gen-1", answer("I look around.", call(1, "execute_bash", command="ls")))
EDIT = response(
    "gen-2", answer("I mend it.", call(2, "str_replace_editor", command="str_replace", path="/w/src/cli.py"))
)
FINISH = response("gen-3", answer("", call(3, "finish", message="It remembers now.")))


def finished_history() -> list[Json]:
    return [
        *opening(),
        action(5, "run", LOOK),
        ran(6, LOOK, "src tests"),
        action(7, "edit", EDIT),
        observed(8, "edit", EDIT, "The file was edited.", old_content="a = 1\n" * 500, diff="--- whole file"),
        action(9, "finish", FINISH),
    ]


def usages(*response_ids: str) -> list[Json]:
    counts = {"model": MODEL, "prompt_tokens": 900, "completion_tokens": 30, "cache_read_tokens": 100}
    return [counts | {"response_id": each} for each in response_ids]


def metrics(*response_ids: str) -> Json:
    total = {"model": MODEL, "prompt_tokens": 2700, "completion_tokens": 90, "cache_read_tokens": 300}
    latencies = [{"model": MODEL, "latency": 1.0, "response_id": each} for each in response_ids]
    called = {"token_usages": usages(*response_ids), "response_latencies": latencies}
    return {"accumulated_cost": 0.0, "accumulated_token_usage": total, "costs": []} | called


def row(instance_id: str = "acme__cli-7", **changes: Any) -> Json:
    config = {"model": MODEL, "max_message_chars": 30000, "api_key": "**********"}
    return {
        "instance_id": instance_id,
        "test_result": {"git_patch": PATCH},
        "instruction": TASK,
        "metadata": {"agent_class": "CodeActAgent", "llm_config": config, "max_iterations": 50},
        "history": finished_history(),
        "metrics": metrics("gen-1", "gen-2", "gen-3"),
        "error": None,
        "instance": {"repo": "acme/cli", "instance_id": instance_id, "base_commit": "0" * 40, "version": 0.1},
    } | changes


def timeout_row(instance_id: str = "acme__cli-8") -> Json:
    empty = dict.fromkeys(("instruction", "metadata", "history", "metrics", "instance"))
    return {"instance_id": instance_id, "test_result": {}, "error": "Timeout after 7200 seconds"} | empty


def write_rows(path: Path, *rows: Json, tail: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(each)}\n" for each in rows) + tail)
    return path


def write_call(
    folder: Path, at: float, messages: list[Json], reply: Json, *, model: str = MODEL, tools: list[Json] | None = None
) -> Path:
    """A completion file with native function calling."""
    folder.mkdir(parents=True, exist_ok=True)
    kwargs: Json = {"temperature": 0.2} | ({"tools": TOOLS} if tools is None else {"tools": tools} if tools else {})
    told = {"messages": messages, "response": reply, "args": [], "kwargs": kwargs, "timestamp": at, "cost": 0.01}
    path = folder / f"{model.replace('/', '__')}-{at}.json"
    path.write_text(json.dumps(told))
    return path


def write_mocked_call(folder: Path, at: float, messages: list[Json], reply: Json) -> Path:
    """A completion file with mocked function calling: the text form, and the tool-call form beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    spoken = {"role": "assistant", "content": "<function=execute_bash>\n<parameter=command>ls</parameter>\n</function>"}
    told = {
        "messages": [{"role": "system", "content": f"{SYSTEM}\nYou have access to these functions: ..."}],
        "response": response(reply["id"], spoken),
        "fncall_messages": messages,
        "fncall_response": reply,
        "kwargs": {"temperature": 0.2},
        "timestamp": at,
        "cost": 0.0,
    }
    path = folder / f"{MODEL.replace('/', '__')}-{at}.json"
    path.write_text(json.dumps(told))
    return path


def asked(*later: Json) -> list[Json]:
    """The messages of a request: system, user, and what came since."""
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": TASK}, *later]


def said(reply: Json) -> Json:
    message: Json = reply["choices"][0]["message"]
    return message


def result(reply: Json, content: str, nth: int = 0) -> Json:
    mine = said(reply)["tool_calls"][nth]
    return {"role": "tool", "tool_call_id": mine["id"], "name": mine["function"]["name"], "content": content}
