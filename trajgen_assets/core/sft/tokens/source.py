"""Where a tokenizer lies, by the name that a person gives it, and the digest that tells it from others.

A name is a path (a folder, or its `tokenizer.json`), or `owner/name` of the model hub, best with `@` and the commit.
What the hub's client has on this machine is taken from there. It is asked to fetch only what a commit pins.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from trajgen_assets.core.errors import ConversionError

TOKENIZER, CONFIG, TEMPLATE = "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"

_HUB_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[^@\s]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class TokenizerFiles:
    """A tokenizer on this machine.

    Attributes:
        name: what it is called where no path of this machine may stand.
        tokenizer: `tokenizer.json`.
        config: `tokenizer_config.json`, if there is one.
        template: `chat_template.jinja`, if there is one; it goes before the one in `config`.
        sha256: digest of them all.
    """

    name: str
    tokenizer: Path
    config: Path | None
    template: Path | None
    sha256: str

    @classmethod
    def of(cls, name: str, tokenizer: Path, config: Path | None, template: Path | None) -> Self:
        """Digest the files."""
        digest = hashlib.sha256()
        for kind, path in ((TOKENIZER, tokenizer), (CONFIG, config), (TEMPLATE, template)):
            content = path.read_bytes() if path else b""
            digest.update(f"{kind} {len(content)}\n".encode() + content)
        return cls(name, tokenizer, config, template, digest.hexdigest())

    @property
    def stated(self) -> dict[str, str]:
        """Name and digest, as receipts have them."""
        return {"name": self.name, "sha256": self.sha256}


def find_tokenizer(name: str) -> TokenizerFiles:
    """Return the files of the tokenizer that is called `name`.

    Raises:
        ConversionError: there is none, or it is not on this machine and cannot be fetched.
    """
    path = Path(name).expanduser()
    if path.exists():
        return _on_disk(path)
    if hub_name := _HUB_NAME.fullmatch(name):
        return _on_hub(name, hub_name["repo"], hub_name["revision"])
    mend = f"name a folder with {TOKENIZER}, or a model of the hub as owner/name@commit"
    raise ConversionError("there is no such tokenizer", where=name, mend=mend)


def _on_disk(path: Path) -> TokenizerFiles:
    folder, tokenizer = (path, path / TOKENIZER) if path.is_dir() else (path.parent, path)
    if not tokenizer.is_file():
        mend = f"take one of the `fast` kind, or save it as such: it has a {TOKENIZER}"
        raise ConversionError(f"the tokenizer has no {TOKENIZER}", where=path, mend=mend)
    config, template = folder / CONFIG, folder / TEMPLATE
    beside = [each if each.is_file() else None for each in (config, template)]
    return TokenizerFiles.of(folder.resolve().name, tokenizer, *beside)


def _on_hub(name: str, repo: str, revision: str | None) -> TokenizerFiles:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read as the client is imported
    from trajgen_assets.core.sft.tokens.hub import hub_file  # takes 0.1 s, and only few conversions need it

    tokenizer = hub_file(repo, TOKENIZER, revision)
    if tokenizer is None and is_pinned(revision):
        mend = "take a model that has one, or save its tokenizer in the `fast` form and name that folder"
        raise ConversionError(f"the hub has no {TOKENIZER} of this model", where=name, mend=mend)
    if tokenizer is None:
        mend = "add @ and the commit (40 hex digits), by which it may be fetched"
        why = "it is not in the hub client's folder on this machine, and nothing unpinned is fetched"
        raise ConversionError("the tokenizer is not on this machine", where=name, why=why, mend=mend)
    return TokenizerFiles.of(name, tokenizer, hub_file(repo, CONFIG, revision), hub_file(repo, TEMPLATE, revision))


def is_pinned(revision: str | None) -> bool:
    """Whether a revision is a commit, which nobody can move."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None
