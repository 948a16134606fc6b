"""A root to look at, and endpoints of odd shapes around the scripted model."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.unit.intake.conftest import write_task
from trajgen_assets.core.paths import Root
from trajgen_assets.core.scripted.running import listen, origin_of
from trajgen_assets.core.scripted.server import ScriptedServer

CONFIG = """\
runtime_info:
  input:
    llm_api: {{model: {model}, api_base_url: "{base_url}", api_key: "{key}"}}
    task_source: {{dataset_name: {source}}}
    harbor_job: {{environment: {environment}}}
{more}
"""
KEY = "planted-upstream-key-77"


def write_config(
    path: Path,
    *,
    source: Path,
    base_url: str = "http://127.0.0.1:9/v1",
    model: str = "openai/scripted",
    key: str = KEY,
    environment: str = "local",
    more: str = "",
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        CONFIG.format(base_url=base_url, model=model, key=key, source=source, environment=environment, more=more)
    )
    return path


def write_tasks(source: Path, *task_ids: str) -> Path:
    for task_id in task_ids:
        write_task(source / task_id, instruction=f"Mend {task_id}.\n")
    (source / "verifiable_tasks.txt").write_text("".join(f"{task_id}\n" for task_id in task_ids))
    return source


def tree_digest(folder: Path) -> str:
    """Every entry with its content, mode and times: what differs in any of them was touched."""
    parts = []
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        parts.append([str(path.relative_to(folder)), status.st_mode, status.st_size, status.st_mtime_ns, content])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass
class OddEndpoint:
    """The scripted model below `prefix`, under the one name `served`, with what it was asked for.

    Attributes:
        thinks: every reply is cut off before its first word.
        speaks: the API that it has; with `anthropic` there is no chat completion.
    """

    prefix: str = "/v1"
    served: str = "scripted"
    lists_models: bool = True
    thinks: bool = False
    speaks: str = "openai"
    origin: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    inner: ScriptedServer = field(default_factory=lambda: ScriptedServer(api_key=KEY))

    def app(self) -> ASGIApp:
        inside = self.inner.app()

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                return
            body = await _body(receive)
            model = json.loads(body)["model"] if scope["method"] == "POST" else ""
            self.asked.append((scope["path"], model))
            tail = scope["path"].removeprefix(self.prefix)
            if not scope["path"].startswith(self.prefix) or (tail == "/models" and not self.lists_models):
                await _reply(send, 404, {"detail": "Not Found"})
            elif tail == "/models":
                await _reply(send, 200, {"data": [{"id": self.served}]})
            elif self.speaks == "anthropic" or self.thinks or model != self.served:
                await _reply(send, *self._own(tail, model))
            else:
                await inside(
                    {**scope, "path": f"/v1{tail}", "raw_path": f"/v1{tail}".encode()}, _again(body, receive), send
                )

        return serve

    def _own(self, tail: str, model: str) -> tuple[int, dict[str, object]]:
        wanted = "/messages" if self.speaks == "anthropic" else "/chat/completions"
        if tail != wanted:
            return 404, {"detail": "Not Found"}
        if model != self.served:
            return 404, {"error": {"message": f"The model `{model}` does not exist.", "type": "NotFoundError"}}
        if self.speaks == "anthropic":
            usage = {"input_tokens": 1, "output_tokens": 1}
            text = [{"type": "text", "text": "pong"}]
            return 200, {"id": "m", "type": "message", "role": "assistant", "model": model, "content": text,
                         "stop_reason": "end_turn", "usage": usage}  # fmt: skip
        message = {"role": "assistant", "content": None, "reasoning_content": "Hm, pong. Or ping?"}
        choice = {"index": 0, "finish_reason": "length", "message": message}
        return 200, {"id": "c", "object": "chat.completion", "created": 1, "model": model, "choices": [choice]}


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


def _again(body: bytes, rest: Receive) -> Receive:
    """What was read, once more, and then what comes after it."""
    unread = [body]

    async def receive() -> Message:
        return {"type": "http.request", "body": unread.pop(), "more_body": False} if unread else await rest()

    return receive


async def _reply(send: Send, status: int, content: object) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(content).encode()})


@contextmanager
def running(endpoint: OddEndpoint) -> Iterator[OddEndpoint]:
    with closing(listen("127.0.0.1", 0)) as listener:
        endpoint.origin = origin_of(listener)
        config = uvicorn.Config(endpoint.app(), lifespan="off", ws="none", log_config=None, timeout_graceful_shutdown=0)
        server = uvicorn.Server(config)
        thread = Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield endpoint
        finally:
            server.should_exit = True
            thread.join()


def root_at(path: Path) -> Root:
    """A root whose environments are those that `make test` has built."""
    built = Root.from_environ(path).env
    return Root(path, Path(os.path.realpath(built)))
