"""The example of a reverse proxy, run as it stands but for its ports, on loopback."""

import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.ports import free_port
from tests.waiting import wait_until
from trajgen_assets.core.paths import PROJECT

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="there is no nginx here: `apt-get install nginx-light`")

EXAMPLE = PROJECT / "deploy" / "reverse-proxy" / "trajgen.conf"
NAME = "trajgen.example"
OPERATOR, VIEWER = ("ann", "of-operators"), ("bob", "of-viewers")

AROUND = """\
daemon off; pid nginx.pid; error_log stderr; {user}
events {{}}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
    include trajgen.conf;
}}
"""


@dataclass(frozen=True)
class Door:
    """The proxy, as a browser reaches it that was led to `host`."""

    port: int
    certificate: Path

    @property
    def ours(self) -> str:
        """The origin of its own pages."""
        return f"https://{NAME}:{self.port}"

    def ask(
        self,
        path: str = "/",
        *,
        login: tuple[str, str] | None = OPERATOR,
        host: str = NAME,
        headers: dict[str, str] | None = None,
        post: object = None,
        method: str | None = None,
    ) -> httpx.Response:
        context = ssl.create_default_context(cafile=str(self.certificate))
        with httpx.Client(verify=context, trust_env=False) as client:
            return client.request(
                method or ("GET" if post is None else "POST"),
                f"https://127.0.0.1:{self.port}{path}",
                auth=login,
                headers={"Host": host} | (headers or {}),
                content=None if post is None else json.dumps(post).encode(),
                extensions={"sni_hostname": NAME},
            )


@contextmanager
def before(folder: Path, *, full: str, read_only: str) -> Iterator[Door]:
    """The proxy before two web UIs, each given as host and port."""
    port, certificate = free_port(), folder / "trajgen.crt"
    make_certificate(folder)
    (folder / "trajgen.htpasswd").write_text("".join(f"{name}:{hashed(word)}\n" for name, word in (OPERATOR, VIEWER)))
    (folder / "trajgen.operators").write_text(f'"{OPERATOR[0]}" {full};\n')
    (folder / "nginx.conf").write_text(AROUND.format(user="user root;" if os.geteuid() == 0 else ""))
    text = EXAMPLE.read_text().replace("127.0.0.1:3001", read_only)
    (folder / "trajgen.conf").write_text(text.replace(" 443 ssl", f" 127.0.0.1:{port} ssl"))
    argv = [str(NGINX), "-p", str(folder), "-c", "nginx.conf"]
    tested = subprocess.run([*argv, "-t"], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stderr
    child = subprocess.Popen(argv)
    try:
        made = Door(port, certificate)
        wait_until(lambda: answers(made), alive=lambda: child.poll() is None)
        yield made
    finally:
        child.terminate()
        child.wait(10)


def make_certificate(folder: Path) -> None:
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={NAME}"]
    argv += ["-addext", f"subjectAltName=DNS:{NAME}", "-keyout", "trajgen.key", "-out", "trajgen.crt"]
    subprocess.run(argv, cwd=folder, capture_output=True, check=True)


def hashed(word: str) -> str:
    done = subprocess.run(["openssl", "passwd", "-apr1", word], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def answers(door: Door) -> bool:
    try:
        return door.ask().status_code > 0
    except httpx.HTTPError:
        return False
