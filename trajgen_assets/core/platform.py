"""One installation: its root, its configuration, its ledger and its uv environments, handed around as one value."""

from dataclasses import dataclass
from pathlib import Path

from trajgen_assets.core.config.config import Config
from trajgen_assets.core.ledger.ledger import Ledger
from trajgen_assets.core.paths import Root


@dataclass(frozen=True)
class Platform:
    """What every stage of the flow works with."""

    root: Root
    config: Config
    ledger: Ledger

    @property
    def harbor_env(self) -> Path:
        """Harbor's uv environment."""
        return self.root.env / "harbor-uv"

    @property
    def litellm_env(self) -> Path:
        """The LiteLLM proxy's uv environment."""
        return self.root.env / "litellm-venv"
