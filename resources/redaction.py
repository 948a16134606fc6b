"""Every secret that this process can know, asked for anew whenever the files that hold them have changed."""

import os
from pathlib import Path

from resources.platform import config_path
from trajgen_assets.core.config.load import load_config
from trajgen_assets.core.config.secrets_file import SECRETS_NAME, SecretsFile
from trajgen_assets.core.errors import ConfigError
from trajgen_assets.core.redact import Redactor, looks_secret

_Stamp = tuple[object, ...]


class KnownSecrets:
    """The redactor of one configuration. What was a secret once stays one as long as the process lives.

    A configuration that cannot be read takes nothing back: then the environment, `secrets.env` and what was known
    before still count.
    """

    def __init__(self, config: Path) -> None:
        self._config = config
        self._stamp: _Stamp | None = None
        self._values: dict[str, str] = {}
        self._redactor = Redactor({})

    def redactor(self) -> Redactor:
        """What takes them out of a text."""
        stamp = self._now()
        if stamp != self._stamp:
            self._learn()
            self._stamp = stamp
        return self._redactor

    def text(self, text: str) -> str:
        """Return `text` without any of them."""
        return self.redactor().text(text)

    def _learn(self) -> None:
        for name, value in {**_environ_secrets(), **self._configured()}.items():
            known_as = name if self._values.get(name, value) == value else f"{name}#{len(self._values)}"
            if value not in self._values.values():
                self._values[known_as] = value
        self._redactor = Redactor(self._values)

    def _configured(self) -> dict[str, str]:
        try:
            return load_config(self._config).secret_values()
        except ConfigError:
            pass
        try:
            return dict(SecretsFile.beside(self._config).values)
        except ConfigError:
            return {}

    def _now(self) -> _Stamp:
        files = (self._config, self._config.with_name(SECRETS_NAME))
        return (*map(_file_stamp, files), *sorted(_environ_secrets().items()))


_of_files: dict[Path, KnownSecrets] = {}


def known_secrets(config: Path | None = None) -> KnownSecrets:
    """What is known from `config`, else from the configuration that this process works with; kept between calls."""
    path = config_path(config)
    return _of_files.setdefault(path, KnownSecrets(path))


def _environ_secrets() -> dict[str, str]:
    return {name: value.strip() for name, value in os.environ.items() if looks_secret(name)}


def _file_stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode
