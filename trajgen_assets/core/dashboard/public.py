"""A site for others than those who run the host: less of each text, no path or name of the host, and no key.

Files are cleaned when they are made, whatever they hold: a page, or data that a page loads.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from trajgen_assets.core.dashboard.render import SiteFile
from trajgen_assets.core.dashboard.trajectory.shards import Limits
from trajgen_assets.core.dashboard.writing import Part
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.paths import Root
from trajgen_assets.core.redact import Redactor, as_written
from trajgen_assets.core.rollout.host_facts import HostFacts, load_host_facts
from trajgen_assets.core.sft.placeholders import Placeholders

# A preview has nothing behind it, and no record is shown as it is.
LIMITS = Limits(preview=1_200, text=1_200, raw=0, file=1_200)

# Keys of others that a task or an agent may have had: told by how their issuers make them. What looks like one goes.
_KEYS = {
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:(?!-----END).){0,8000}",
    "API key": r"\bsk-(?:[a-z]+-)*[A-Za-z0-9_-]{20,}",
    "AWS key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})",
    "GitLab token": r"\bglpat-[A-Za-z0-9_-]{20,}",
    "Google key": r"\bAIza[0-9A-Za-z_-]{35}",
    "Hugging Face token": r"\bhf_[A-Za-z0-9]{30,}",
    "Slack token": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    "web token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+",
}
_KEY = re.compile("|".join(f"(?P<k{at}>{pattern})" for at, pattern in enumerate(_KEYS.values())), re.DOTALL)

# What is put in the place of something. A file of the site holds no such thing of its own: there it is escaped.
_PUT = re.compile(r"<((?:trial-key|proxy|host|path:\w+|redacted:[^<>]{1,80}))>")


@dataclass
class Public:
    """Cleans files, and counts what it took out, by what it was."""

    redactor: Redactor
    placeholders: Placeholders
    taken: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, root: Root, redactor: Redactor) -> "Public":
        """Know the secrets of `redactor`, this host, and the hosts of all jobs of `root`."""
        return cls(redactor, Placeholders.of(_hosts_of(root)))

    def parts(self, parts: Iterable[Part]) -> Iterator[Part]:
        """The same parts, of clean files. They are made each time: more may be known as a secret than before."""
        for part in parts:
            yield replace(part, inputs=None, make=_Cleaned(self, part))

    def clean(self, file: SiteFile) -> SiteFile:
        """A file without what is nobody's business; our own style and scripts are as they are."""
        if file.path.startswith("static/"):
            return file
        text = self.placeholders.text(file.data.decode())
        text = _KEY.sub(_named, self.redactor.text(text))
        opening, closing = ("&lt;", "&gt;") if file.path.endswith(".html") else ("\\u003c", "\\u003e")
        self.taken.update(found[1] for found in _PUT.finditer(text))
        return SiteFile(file.path, _PUT.sub(lambda found: f"{opening}{found[1]}{closing}", text).encode())


@dataclass(frozen=True)
class _Cleaned:
    """Makes the files of a part, and cleans each as it comes."""

    public: Public
    part: Part

    def __call__(self) -> Iterator[SiteFile]:
        return map(self.public.clean, self.part.make())


def _named(found: re.Match[str]) -> str:
    at = int((found.lastgroup or "k0")[1:])
    return f"<redacted:{list(_KEYS)[at]}>"


def _hosts_of(root: Root) -> HostFacts:
    """What any job of the root could see of its host, and this host, as pages and their data spell it.

    A job whose facts cannot be read adds none.
    """
    here = HostFacts.of(root, proxy_host="127.0.0.1", proxy_port=0, tasks=())
    found = [here.model_copy(update={"proxy": ()})]
    folders = root.jobs.iterdir() if root.jobs.is_dir() else ()
    for folder in sorted(folders):
        try:
            found.append(load_host_facts(root.job(folder.name).host))
        except ConversionError:
            continue
    kinds = {kind for facts in found for kind in facts.paths}
    return HostFacts(
        proxy=_all(facts.proxy for facts in found),
        host=_all(facts.host for facts in found),
        paths={kind: _all(facts.paths.get(kind, ()) for facts in found) for kind in sorted(kinds)},
    )


def _all(values: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(form for value in chain.from_iterable(values) for form in as_written(value)))


def public_folder(root: Root) -> Path:
    """Where the site lies that is sent elsewhere."""
    return root.dashboard / "public"
