"""The loop: the model is asked, what it calls is done in a folder, and each step is two events."""

import json
import subprocess
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import openhands
from openhands.llm import LLM, CompletionError
from openhands.tools import TOOLS

SYSTEM = "You are an agent that works on a repository with the tools that you have."
GO_ON = "Go on with the task, or finish it."


@dataclass
class State:
    """What became of an instance."""

    history: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None
    n_iterations: int = 0


@dataclass
class Agent:
    """One conversation about the repository in `workspace`."""

    llm: LLM
    workspace: Path
    state: State = field(default_factory=State)
    messages: list[dict[str, Any]] = field(default_factory=list)
    next_id: int = 0

    def run(self, instruction: str, max_iterations: int) -> State:
        """Work until the model finishes, the iterations are used up, or the model does not answer."""
        self._begin(instruction)
        while True:
            if self.state.n_iterations >= max_iterations:
                self.state.error = (
                    "RuntimeError: Agent reached maximum iteration in headless mode. "
                    f"Current iteration: {max_iterations}, max iteration: {max_iterations}"
                )
                return self.state
            self.state.n_iterations += 1
            try:
                response = self.llm.complete(self.messages)
            except CompletionError as error:
                self.state.error = f"RuntimeError: There was an unexpected error while running the agent: {error}"
                return self.state
            if self._acted(response):
                return self.state

    def _begin(self, instruction: str) -> None:
        self.messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": instruction}]
        told = {
            "content": SYSTEM,
            "tools": TOOLS,
            "openhands_version": openhands.__version__,
            "agent_class": "CodeActAgent",
        }
        self._event(source="agent", message=SYSTEM, action="system", args=told)
        said = {"content": instruction, "image_urls": [], "file_urls": [], "wait_for_response": False}
        self._event(source="user", message=instruction, action="message", args=said)
        asked = {"recall_type": "workspace_context", "query": instruction, "thought": ""}
        recall = self._event(source="user", message="Retrieving content", action="recall", args=asked)
        self.next_id += 1  # a state event, which is left out of histories
        text = "Added workspace context"
        extras = {"recall_type": "workspace_context", "repo_name": "", "working_dir": str(self.workspace)}
        self._event(source="environment", message=text, cause=recall, observation="recall", content=text, extras=extras)

    def _acted(self, response: dict[str, Any]) -> bool:
        """Do what an answer calls for; returns whether the agent has finished."""
        said = response["choices"][0]["message"]
        calls = said.get("tool_calls") or []
        if not calls:
            self._message(said.get("content") or "")
            return False
        try:
            read = [(call, _arguments(call)) for call in calls]
        except ValueError as error:
            self._event(
                source="agent", message=str(error), observation="error", content=str(error), extras={"error_id": ""}
            )
            self.messages.append({"role": "user", "content": str(error)})
            return False
        self.messages.append({"role": "assistant", "content": said.get("content") or "", "tool_calls": calls})
        for call, arguments in read:
            if self._called(call, arguments, response, said.get("content") or "", len(calls)):
                return True
        return False

    def _message(self, text: str) -> None:
        said = {"content": text, "image_urls": [], "file_urls": [], "wait_for_response": True}
        self._event(source="agent", message=text, action="message", args=said)
        asked = {"content": GO_ON, "image_urls": [], "file_urls": [], "wait_for_response": False}
        self._event(source="user", message=GO_ON, action="message", args=asked)
        self.messages += [{"role": "assistant", "content": text}, {"role": "user", "content": GO_ON}]

    def _called(
        self, call: dict[str, Any], arguments: dict[str, Any], response: dict[str, Any], thought: str, n_calls: int
    ) -> bool:
        name = call["function"]["name"]
        metadata = {
            "function_name": name,
            "tool_call_id": call["id"],
            "model_response": response,
            "total_calls_in_response": n_calls,
        }
        action, args = _action(name, arguments, thought)
        action_id = self._event(source="agent", message=thought, action=action, args=args, tool_call_metadata=metadata)
        if action == "finish":
            return True
        kind, content, extras, shown = self._done(name, arguments)
        more = {"success": extras["metadata"]["exit_code"] == 0} if kind == "run" else {}
        self._event(
            source="agent",
            message=content[:80],
            cause=action_id,
            observation=kind,
            tool_call_metadata=metadata,
            content=content,
            extras=extras,
            **more,
        )
        self.messages.append({"role": "tool", "tool_call_id": call["id"], "name": name, "content": shown})
        return False

    def _done(self, name: str, arguments: dict[str, Any]) -> tuple[str, str, dict[str, Any], str]:
        """Kind of observation, its content, its extras, and what the model is shown."""
        if name == "execute_bash":
            return self._ran(arguments["command"])
        if name == "think":
            return "think", "Your thought has been logged.", {}, "Your thought has been logged."
        if name == "fetch":
            text = f"Contents of {arguments['url']}: nothing is fetched here"
            return "mcp", text, {"name": name, "arguments": arguments}, text
        text = self._edited(arguments)
        kind = "read" if arguments["command"] == "view" else "edit"
        return kind, text, {"path": arguments["path"], "impl_source": "oh_aci"}, text

    def _ran(self, command: str) -> tuple[str, str, dict[str, Any], str]:
        ended = subprocess.run(
            ["bash", "-c", command], cwd=self.workspace, capture_output=True, text=True, check=False, timeout=120
        )
        content = (ended.stdout + ended.stderr).rstrip("\n")
        metadata = {
            "exit_code": ended.returncode,
            "pid": -1,
            "username": "root",
            "hostname": "stand-in",
            "working_dir": str(self.workspace),
            "py_interpreter_path": "/usr/bin/python",
            "prefix": "",
            "suffix": f"\n[The command completed with exit code {ended.returncode}.]",
        }
        shown = (
            f"{metadata['prefix']}{content}{metadata['suffix']}\n[Current working directory: {self.workspace}]"
            f"\n[Python interpreter: /usr/bin/python]\n[Command finished with exit code {ended.returncode}]"
        )
        return "run", content, {"command": command, "hidden": False, "metadata": metadata}, shown

    def _edited(self, arguments: dict[str, Any]) -> str:
        path = self.workspace / arguments["path"]
        if arguments["command"] == "create":
            path.write_text(arguments.get("file_text", ""), encoding="utf-8")
            return f"File created at {path}"
        text = path.read_text(encoding="utf-8") if path.is_file() else None
        if arguments["command"] == "view":
            return text if text is not None else f"ERROR:\n{path} does not exist"
        old = arguments.get("old_str", "")
        if text is None or text.count(old) != 1:
            return f"ERROR:\nNo replacement was performed in {path}"
        path.write_text(text.replace(old, arguments.get("new_str", "")), encoding="utf-8")
        return f"The file {path} has been edited."

    def _event(self, **fields: Any) -> int:
        number = self.next_id
        self.next_id += 1
        self.state.history.append({"id": number, "timestamp": datetime.now().isoformat(), **fields})  # noqa: DTZ005
        return number


def _arguments(call: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call of a tool that there is. Raises ValueError with what the model is told."""
    name = call["function"]["name"]
    schema = next((tool["function"]["parameters"] for tool in TOOLS if tool["function"]["name"] == name), None)
    if schema is None:
        raise ValueError(f"Tool {name} is not registered.")
    arguments = json.loads(call["function"]["arguments"])
    if missing := [key for key in schema["required"] if key not in arguments]:
        raise ValueError(f"Missing required argument {missing[0]!r} in tool call {name}")
    return arguments


def _action(name: str, arguments: dict[str, Any], thought: str) -> tuple[str, dict[str, Any]]:
    if name == "execute_bash":
        shell = {"is_input": False, "blocking": False, "is_static": False, "cwd": None, "hidden": False}
        return "run", {"command": arguments["command"], "thought": thought, **shell}
    if name == "finish":
        return "finish", {"final_thought": arguments["message"], "outputs": {}, "thought": thought}
    if name == "think":
        return "think", {"thought": arguments["thought"]}
    if name == "fetch":
        return "call_tool_mcp", {"name": name, "arguments": arguments, "thought": thought}
    return ("read" if arguments["command"] == "view" else "edit"), {
        **arguments,
        "thought": thought,
        "impl_source": "oh_aci",
    }
