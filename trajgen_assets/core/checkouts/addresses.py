"""Addresses and names that git is given: what a configuration may say, so that none is an option or runs a program."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

# Transports whose other end proves who it is. `ext::` and its kind run a program of the address' choosing.
PROVEN = ("https", "ssh", "file")
PLAIN = ("http", "git")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_REF = re.compile(r"[A-Za-z0-9_][\w./+@-]*")


def protocol_of(url: str) -> str:
    """The transport that git takes for an address: `user@host:path` is ssh, and a path is `file`."""
    if match := _SCHEME.match(url):
        return match[1].lower()
    return "ssh" if re.match(r"[^/:]+:", url) else "file"


def address_problem(url: str) -> str | None:
    """Why git is not given this address, or None where it may be."""
    if re.search(r"(^|://|@)-", url):
        return "should hold no name that begins with '-', which is taken for an option"
    if re.search(r"[\s\x00-\x1f]", url) or re.match(r"[A-Za-z0-9]+::", url):
        return "should be an https or ssh address, user@host:path, or a path"
    if re.match(r"https?://[^/]*@", url):
        return "should hold no login: let git ask its credential store"
    protocol = protocol_of(url)
    if protocol in PROVEN or (protocol in PLAIN and urlsplit(url).hostname in LOOPBACK):
        return None
    return f"should be an https or ssh address, user@host:path, or a path, and not {protocol}"


def ref_problem(ref: str) -> str | None:
    """Why git is not given this name of a branch or tag, or None where it may be."""
    if _REF.fullmatch(ref) and ".." not in ref and "@{" not in ref and not ref.endswith((".lock", "/", ".")):
        return None
    return "should be the name of a branch, a tag or a commit, and not begin with '-'"


def allowed_protocols(url: str) -> str:
    """The transports that git may use for a repository and its submodules, as `GIT_ALLOW_PROTOCOL` has them."""
    return ":".join(dict.fromkeys(("https", "ssh", protocol_of(url))))


def normal_url(url: str) -> str:
    """`host/owner/name` of a git address, whether written as https, ssh or git@host:owner/name. It holds no login."""
    text = re.sub(r"^[a-z+]+://", "", url.strip()).removesuffix("/").removesuffix(".git")
    text = text.rpartition("@")[2]
    return re.sub(r"^([^/:]+):(?!\d+/)", r"\1/", text)


def places_of(ref: str) -> Iterator[str]:
    """Where a clone may have what a person calls `ref`, in order: a tag, a branch of the origin."""
    name = ref.removeprefix("origin/")
    yield f"refs/tags/{name}"
    yield f"refs/remotes/origin/{name}"
