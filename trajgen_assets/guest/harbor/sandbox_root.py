"""What a sandbox sees as its file system: a folder of its own as `/`, and the host's programs read-only.

Of the host's `/etc` it gets only what programs need in order to run; never homes, keys or the list of persons.
"""

from collections.abc import Iterable
from pathlib import Path

ROOT_FOLDERS = (
    "app", "etc/ssl", "home", "logs", "mnt", "opt", "root", "solution", "srv", "tests", "tmp", "usr",
    "var/cache", "var/lib", "var/log", "var/tmp", "workspace",
)  # fmt: skip

# Bound read-only where the host has them. Debian keeps the configuration of its JDK and Perl in /etc.
SHARED_ETC = (
    "alternatives", "ca-certificates", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "java-*", "maven", "mime.types",
    "perl", "pki/ca-trust/extracted", "protocols", "services", "ssl/certs", "ssl/openssl.cnf", "terminfo",
)  # fmt: skip

HOSTNAME = "sandbox"
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_FIRST_PERSON = 1000
_NOBODY = 65534


def make_root(root: Path, *, network: bool) -> None:
    """Fill the empty folder `root` with the skeleton of a system."""
    for name in ROOT_FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("tmp", "var/tmp"):
        (root / name).chmod(0o1777)
    (root / "root").chmod(0o700)
    for name, text in _etc_files(network=network).items():
        (root / "etc" / name).write_text(text)


def mounts() -> list[str]:
    """bwrap arguments for the host's programs and its shared settings, read-only."""
    args = ["--ro-bind", "/usr", "/usr"]
    for name in _MERGED:
        args += _merged_folder(Path("/", name))
    for pattern in SHARED_ETC:
        for path in sorted(Path("/etc").glob(pattern)):
            args += ["--ro-bind", str(path), str(path)]
    return args


def _merged_folder(path: Path) -> list[str]:
    """`/bin` and its like: a link where the host has merged it into /usr, else a folder of its own."""
    if path.is_symlink():
        return ["--symlink", str(path.readlink()), str(path)]
    return ["--ro-bind", str(path), str(path)] if path.is_dir() else []


def _etc_files(*, network: bool) -> dict[str, str]:
    files = {
        "passwd": _system_accounts(_lines("/etc/passwd"), "root:x:0:0:root:/root:/bin/bash"),
        "group": _system_accounts(_lines("/etc/group"), "root:x:0:"),
        "hostname": f"{HOSTNAME}\n",
        "hosts": f"127.0.0.1 localhost {HOSTNAME}\n::1 localhost\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
        "os-release": "\n".join([*_lines("/etc/os-release"), ""]),
    }
    if network:
        files["resolv.conf"] = "\n".join([*_lines("/etc/resolv.conf"), ""])
    return files


def _system_accounts(lines: Iterable[str], root_line: str) -> str:
    """Accounts and groups that packages rely on, root as every image has it, and no persons."""
    kept = [line for line in lines if _is_system_account(line.split(":"))]
    return "\n".join([root_line, *kept, ""])


def _is_system_account(fields: list[str]) -> bool:
    if len(fields) < 4 or not fields[2].isdecimal():
        return False
    number = int(fields[2])
    return 0 < number < _FIRST_PERSON or number == _NOBODY


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(errors="replace").splitlines()
    except OSError:
        return []
