"""The key of one trial: it says which trial a model call belongs to, and cannot be made up.

    sk-tk-<base64url(job/trial)>.<base64url(HMAC-SHA256(subkey, job/trial))>

The subkey is derived from the proxy's master key, so that whoever mints trial keys cannot act as the proxy's
administrator. Each kind of key has a beginning of its own, by which it is known wherever it is printed. Both sides
import this module: the harness to mint, the proxy to verify.
"""

import base64
import binascii
import hashlib
import hmac
import re

PREFIX = "sk-tk-"
MASTER_PREFIX = "sk-tm-"
SUBKEY_PREFIX = "sk-ts-"
_PURPOSE = b"trial-key-v1"
_NAME = re.compile(r"[A-Za-z0-9._+-]{1,200}", re.ASCII)
_MAX_KEY_LENGTH = 700  # two names of 200 in base64, a signature and the prefix fit in it with room to spare


def derive_subkey(master_key: str) -> str:
    """The signing key of all trial keys of a proxy, as its prefix and 64 hex digits."""
    return SUBKEY_PREFIX + hmac.new(master_key.encode(), _PURPOSE, hashlib.sha256).hexdigest()


def mint(subkey: str, job: str, trial: str) -> str:
    """The key of `trial` in `job`.

    Raises:
        ValueError: a name is not 1 to 200 of the characters `A-Za-z0-9._+-`, or is `.` or `..`.
    """
    for name in (job, trial):
        if not _is_name(name):
            raise ValueError(
                f"{name[:80]!r} cannot be part of a trial key: 1 to 200 of A-Z a-z 0-9 . _ + - are allowed"
            )
    payload = f"{job}/{trial}".encode("ascii")
    signature = hmac.new(subkey.encode(), payload, hashlib.sha256).digest()
    return f"{PREFIX}{_encode(payload)}.{_encode(signature)}"


def verify(subkey: str, key: str) -> tuple[str, str] | None:
    """`(job, trial)` of a key that `mint` made with `subkey`, else None. Never raises, whatever `key` holds."""
    names = _claimed_names(key)
    if names is None:
        return None
    # The whole key is made anew, so that each trial has exactly one spelling of its key.
    return names if hmac.compare_digest(mint(subkey, *names).encode(), key.encode()) else None


def _claimed_names(key: object) -> tuple[str, str] | None:
    if not isinstance(key, str) or not key.startswith(PREFIX) or len(key) > _MAX_KEY_LENGTH or not key.isascii():
        return None
    try:
        payload = _decode(key[len(PREFIX) :].partition(".")[0]).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    job, _, trial = payload.partition("/")
    return (job, trial) if _is_name(job) and _is_name(trial) else None


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and name not in {".", ".."}


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
