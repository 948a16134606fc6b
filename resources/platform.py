"""The one resource that assets and sensors work with: an artifacts root, its configuration and its ledger."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from pydantic import Field

from resources.config_file import config_path
from resources.redaction import known_secrets
from trajgen_assets.core.config.config import Config
from trajgen_assets.core.config.load import is_unfilled, load_config
from trajgen_assets.core.ledger.store import open_ledger
from trajgen_assets.core.paths import Root
from trajgen_assets.core.platform import Platform
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.report.misconfigured import why_unusable


class PlatformResource(dg.ConfigurableResource[Platform]):
    """Opens root, configuration and ledger anew for each use: an edited `config.yaml` counts from the next run on.

    The configuration names its secrets as `${NAME}`; nothing secret is ever a value of this resource, which the
    web UI shows in clear.
    """

    root: str = Field(
        default="", description="Artifacts root; empty means TRAJGEN_ROOT, else artifacts/ of the checkout."
    )
    config: str = Field(
        default="", description="config.yaml; empty means TRAJGEN_CONFIG, else the one of the checkout."
    )

    def open(self) -> Platform:
        """Read the configuration and open the ledger.

        Raises:
            ConfigError: the configuration is missing or wrong.
            LedgerError: the ledger is missing, corrupt or of another version; nothing may be rolled out.
        """
        root = self.artifacts_root()
        return Platform(root, load_config(config_path(self.config)), open_ledger(root))

    @contextmanager
    def opened(self) -> Iterator[Platform]:
        """As `open`; the ledger is closed when the block ends, and what leaves it as an exception holds no secret."""
        platform = self.open()
        with platform.ledger:
            try:
                yield platform
            except Exception as error:
                Redactor.of(platform.config).in_place(error)
                raise

    def configuration(self) -> Config:
        """The configuration alone, for those who need no ledger. Raises ConfigError as `open` does."""
        return load_config(self.config_file())

    def config_file(self) -> Path:
        """Where the configuration is."""
        return config_path(self.config)

    def is_unfilled(self) -> bool:
        """Whether the configuration is still the template, in which a person has to fill in the model and the tasks."""
        return is_unfilled(config_path(self.config))

    def why_unusable(self) -> str | None:
        """What is wrong with the configuration, for whoever must not fail by it; a person is told once."""
        config = config_path(self.config)
        return why_unusable(self.artifacts_root(), config, known_secrets(config).redactor())

    def artifacts_root(self) -> Root:
        """The root alone, for those who need no configuration."""
        return Root.from_environ(self.root or None)
