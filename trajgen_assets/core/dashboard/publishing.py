"""The public site sent elsewhere: into a folder, by rsync, to an object store, or by a command of one's own.

The programs that send it are the reader's own, with their own credentials: none of them passes through here.
"""

import logging
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from trajgen_assets.core.dashboard.public import Public, public_folder
from trajgen_assets.core.dashboard.site import build_site
from trajgen_assets.core.dashboard.writing import MARK, SiteReport
from trajgen_assets.core.errors import BusyError, DashboardError, TrajgenError
from trajgen_assets.core.locks import locked_if_free
from trajgen_assets.core.paths import Root

log = logging.getLogger(__name__)

COMMAND = "cmd:"
SITE = "{site}"
N_LINES_SHOWN = 5


@dataclass(frozen=True)
class Target:
    """Where the site goes: into `folder`; or by `argv`, in which `{site}` is the folder that it is made in first."""

    name: str
    folder: Path | None = None
    argv: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str) -> "Target":
        """Read a target as it is given on the command line.

        Raises:
            DashboardError: it is empty, or a command that does not say where the site's folder goes.
        """
        scheme, _, rest = text.partition(":")
        if scheme in _SENDERS and rest:
            return cls(text, argv=_SENDERS[scheme](text, rest))
        if text.startswith(COMMAND):
            return cls(text, argv=_command(text.removeprefix(COMMAND)))
        if ":" in text.split("/", 1)[0]:  # as rsync and scp tell a host from a path
            return cls(text, argv=_rsync(text, rest))
        if not text.strip():
            raise DashboardError("there is nowhere to publish to", mend=_FORMS)
        return cls(text, folder=Path(text).expanduser().absolute())


def publish(root: Root, target: Target, public: Public) -> SiteReport:
    """Make the public site and send it where it is not what was sent last.

    Raises:
        DashboardError: the folder holds something else, or the sender failed: then it is sent again the next time.
        BusyError: another process publishes this root.
    """
    with locked_if_free(root.dashboard / ".publish.lock") as lock:
        if lock is None:
            mend = "let it end, or end it"
            raise BusyError("another process publishes this dashboard", where=root.dashboard, mend=mend)
        if target.folder is not None:
            return build_site(root, target.folder, public)
        report = build_site(root, public_folder(root), public)
        unsent = root.dashboard / ".unsent"
        if report.changed or unsent.exists() or _last_target(root) != target.name:
            unsent.touch()  # until it is sent: a sender that fails is called again though nothing changes
            _send(target, report.folder)
            (root.dashboard / ".sent_to").write_text(target.name, encoding="utf-8")
            unsent.unlink()
        return report


def publish_again(
    root: Root, target: Target, public: Callable[[], Public], every_s: float, say: Callable[[str], None], over: Event
) -> None:
    """Publish every `every_s` seconds until `over`. What goes wrong is said, and tried again the next time."""
    while not over.is_set():
        try:
            report = publish(root, target, public())
            say(f"{report.n_written} files written, {report.n_removed} removed" if report.changed else "unchanged")
        except (TrajgenError, OSError) as error:
            say(f"not published: {error}")
        over.wait(every_s)


def _send(target: Target, folder: Path) -> None:
    argv = [part.replace(SITE, str(folder)) for part in target.argv]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        mend = f"install {argv[0]}, or publish in another way: {_FORMS}"
        raise DashboardError("the site was not sent", where=argv[0], why=error.strerror, mend=mend) from error
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        said = "\n".join(lines[-N_LINES_SHOWN:]) or f"exit code {done.returncode}"
        mend = f"`{shlex.join(argv)}` shows the whole of it"
        raise DashboardError("the site was not sent", where=argv[0], why=said, mend=mend)
    log.info("sent by %s", argv[0])


def _last_target(root: Root) -> str | None:
    try:
        return (root.dashboard / ".sent_to").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _command(text: str) -> tuple[str, ...]:
    argv = tuple(shlex.split(text))
    if not any(SITE in part for part in argv[1:]):
        raise DashboardError("the command does not say where the site's folder goes", where=text, mend=_FORMS)
    return argv


def _rsync(target: str, _: str) -> tuple[str, ...]:
    return "rsync", "-a", "--delete-after", f"--exclude={MARK}", "--", f"{SITE}/", target


_FORMS = "a folder, HOST:PATH, s3://BUCKET/PATH, gs://BUCKET/PATH, rclone:REMOTE:PATH, or 'cmd:PROGRAM … {site} …'"
_SENDERS: dict[str, Callable[[str, str], tuple[str, ...]]] = {
    "rsync": _rsync,
    "s3": lambda target, _: ("aws", "s3", "sync", SITE, target, "--delete", "--exclude", MARK, "--only-show-errors"),
    "gs": lambda target, _: (
        "gcloud", "storage", "rsync", "--recursive", "--delete-unmatched-destination-objects", f"--exclude={MARK}",
        SITE, target,
    ),
    "rclone": lambda _, rest: ("rclone", "sync", f"--exclude={MARK}", SITE, rest),
}  # fmt: skip
