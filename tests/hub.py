"""A stand-in for the hub: its HTTP interface for one repository of data sets, as its own client asks it.

It can be told to cut a connection in the middle of a file, to serve other bytes than it lists, and to want a token.
"""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson

from tests.serving import QuietHandler, serving

REVISION = "0123456789abcdef0123456789abcdef01234567"
REPO = "acme/py-cc"
# Files of these kinds are kept as large files: by their SHA-256, and fetched from elsewhere.
_LARGE = (".zip", ".gz", ".tgz", ".tar", ".bin")


@dataclass
class Hub:
    """One repository at one commit.

    Attributes:
        files: path to content.
        cuts: how often the connection is cut, by path, after `cut_at` bytes of what was asked for.
        forged: content that is served in the place of what is listed.
        understated: sizes that are listed in the place of the true ones.
        token: if set, whoever does not show it is sent away.
        asked: path and range of each request for a file's content.
        agents, tokens: what clients call themselves, and what they show.
        others: requests for what has nothing to do with the repository.
        signed: the query of an address elsewhere, to which requests for large files are sent on.
        held: a file that is served up to `cut_at` bytes before its end, and then not until `release`.
    """

    files: dict[str, bytes]
    revision: str = REVISION
    cuts: dict[str, int] = field(default_factory=dict)
    cut_at: int = 1000
    forged: dict[str, bytes] = field(default_factory=dict)
    understated: dict[str, int] = field(default_factory=dict)
    token: str | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)
    others: list[str] = field(default_factory=list)
    signed: str | None = None
    held: str | None = None
    is_held: bool = False
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def release(self) -> None:
        """Let what is held go on."""
        self.held = None
        self.released.set()

    def siblings(self) -> list[dict[str, Any]]:
        return [self._entry(name, "rfilename") for name in sorted(self.files)]

    def tree(self) -> list[dict[str, Any]]:
        return [{"type": "file", **self._entry(name, "path")} for name in sorted(self.files)]

    def _entry(self, name: str, key: str) -> dict[str, Any]:
        content = self.files[name]
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        size = self.understated.get(name, len(content))
        entry: dict[str, Any] = {key: name, "size": size, "blobId": blob, "oid": blob}
        if name.endswith(_LARGE):
            entry["lfs"] = {"sha256": etag_of(name, content), "oid": etag_of(name, content), "size": size,
                            "pointerSize": 134}  # fmt: skip
        return entry


def etag_of(name: str, content: bytes) -> str:
    if name.endswith(_LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@contextmanager
def serving_hub(hub: Hub) -> Iterator[Hub]:
    """Serve `hub` at `hub.url`."""

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:  # noqa: N802
            self._answer(with_body=False)

        def do_GET(self) -> None:  # noqa: N802
            self._answer(with_body=True)

        def do_POST(self) -> None:  # noqa: N802
            hub.others.append(f"POST {self.path}")
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._json(404, {"error": "nothing is told to anybody here"})

        def _answer(self, *, with_body: bool) -> None:
            hub.agents.add(self.headers.get("User-Agent", ""))
            hub.tokens |= {each.removeprefix("Bearer ") for each in [self.headers.get("Authorization")] if each}
            path = unquote(urlsplit(self.path).path)
            if hub.token is not None and self.headers.get("Authorization") != f"Bearer {hub.token}":
                self._json(401, {"error": "Invalid username or password."}, {"X-Error-Code": "GatedRepo"})
            elif path.startswith(f"/api/datasets/{REPO}/tree/"):
                self._json(200, hub.tree())
            elif path in (f"/api/datasets/{REPO}", f"/api/datasets/{REPO}/revision/{REVISION}"):
                self._json(200, {"id": REPO, "sha": hub.revision, "siblings": hub.siblings(), "private": False})
            elif found := re.fullmatch(f"(?:/signed|/datasets/{REPO}/resolve/{REVISION})/(.+)", path):
                self._file(found[1], with_body=with_body)
            else:
                hub.others.append(f"{self.command} {self.path}")
                self._json(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})

        def _json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
            body = orjson.dumps(value)
            self.send_response(status)
            for name, text in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _send_on(self, name: str) -> None:
            self.send_response(302)
            size = str(len(hub.files[name]))
            headers = {
                "Location": f"{hub.url}/signed/{name}?{hub.signed}",
                "X-Repo-Commit": REVISION,
                "X-Linked-ETag": f'"{etag_of(name, hub.files[name])}"',
                "X-Linked-Size": size,
                "Content-Length": "0",
            }
            for header, text in headers.items():
                self.send_header(header, text)
            self.end_headers()

        def _file(self, name: str, *, with_body: bool) -> None:
            if name not in hub.files:
                self._json(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
                return
            if hub.signed is not None and name.endswith(_LARGE) and not self.path.startswith("/signed/"):
                self._send_on(name)
                return
            content = hub.forged.get(name, hub.files[name])
            asked = self.headers.get("Range")
            start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
            body = content[start:]
            self.send_response(206 if asked else 200)
            self.send_header("X-Repo-Commit", REVISION)
            self.send_header("ETag", f'"{etag_of(name, hub.files[name])}"')
            self.send_header("Accept-Ranges", "bytes")
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if not with_body:
                return
            if name == hub.held:
                self.wfile.write(body[: -hub.cut_at])
                self.wfile.flush()
                hub.is_held = True
                hub.released.wait(60)
                self.close_connection = True
                return
            hub.asked.append((name, asked))
            if hub.cuts.get(name, 0) > 0:
                hub.cuts[name] -= 1
                self.wfile.write(body[: hub.cut_at])
                self.wfile.flush()
                self.close_connection = True
                return
            self.wfile.write(body)

    with serving(Handler) as url:
        hub.url = url
        yield hub
