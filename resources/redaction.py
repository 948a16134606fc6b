"""Every secret that this process can know, asked for anew whenever the files that hold them have changed."""

import math
import time
from pathlib import Path

from resources.config_file import config_path
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.config.secrets_file import SECRETS_NAME, values_to_hide
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.redact import Redactor, environ_secrets

_Stamp = tuple[object, ...]

# Reading it in vain asks git as well, which an event of Dagster's must not wait for each time.
RETRY_S = 1.0


class KnownSecrets:
    """The redactor of one configuration. What was a secret once stays one as long as the process lives.

    A configuration that cannot be read takes nothing back: then the environment, `secrets.env` and what was known
    before still count. It is tried again after a pause though no file of it changed: git may have been too slow to say
    whether it keeps `secrets.env`, or ignores that only since a moment ago.

    Args:
        config: the configuration.
        retry_s: the pause; it is longer where the trial itself took longer.
    """

    def __init__(self, config: Path, *, retry_s: float = RETRY_S) -> None:
        self._config = config
        self._retry_s = retry_s
        self._retry_at = math.inf
        self._stamp: _Stamp | None = None
        self._values: dict[str, str] = {}
        self._redactor = Redactor({})

    def redactor(self) -> Redactor:
        """What takes them out of a text."""
        stamp = self._now()
        began = time.monotonic()
        if stamp != self._stamp or began >= self._retry_at:
            is_read = self._learn()
            ended = time.monotonic()
            self._retry_at = math.inf if is_read else ended + max(self._retry_s, ended - began)
            self._stamp = stamp
        return self._redactor

    def text(self, text: str) -> str:
        """Return `text` without any of them."""
        return self.redactor().text(text)

    def _learn(self) -> bool:
        """Add what is a secret now; returns whether the configuration could be read."""
        configured, is_read = self._configured()
        values = dict(self._values)  # a new one: another thread may be in the middle of the old one
        for name, value in {**environ_secrets(), **configured}.items():
            known_as = name if values.get(name, value) == value else f"{name}#{len(values)}"
            if value not in values.values():
                values[known_as] = value
        self._values, self._redactor = values, Redactor(values)
        return is_read

    def _configured(self) -> tuple[dict[str, str], bool]:
        try:
            return load_config(self._config).secret_values(), True
        except ConfigError:
            return values_to_hide(self._config), False

    def _now(self) -> _Stamp:
        files = (self._config, self._config.with_name(SECRETS_NAME))
        return (*map(_file_stamp, files), *sorted(environ_secrets().items()))


_of_files: dict[Path, KnownSecrets] = {}


def known_secrets(config: Path | None = None) -> KnownSecrets:
    """What is known from `config`, else from the configuration that this process works with; kept between calls."""
    path = config_path(config)
    return _of_files.setdefault(path, KnownSecrets(path))


def _file_stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode
