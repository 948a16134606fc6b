"""The tools of the agent, as the model is told them."""

from typing import Any


def _tool(name: str, description: str, required: tuple[str, ...], **properties: str) -> dict[str, Any]:
    schema = {key: {"type": "string", "description": text} for key, text in properties.items()}
    parameters = {"type": "object", "properties": schema, "required": list(required)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


TOOLS = [
    _tool("execute_bash", "Run a command.", ("command",), command="what to run"),
    _tool("think", "Write down a thought.", ("thought",), thought="what to write down"),
    _tool("finish", "Say that the task is over.", ("message",), message="what was done"),
    _tool(
        "str_replace_editor",
        "View, create or change a file.",
        ("command", "path"),
        command="view, create or str_replace",
        path="the file",
        file_text="of a new file",
        old_str="what to replace",
        new_str="by what",
    ),
    _tool("fetch", "Read an address.", ("url",), url="the address"),
]
