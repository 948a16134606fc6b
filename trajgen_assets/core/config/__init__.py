"""config.yaml: validated, frozen, and without secrets in any copy."""

from trajgen_assets.core.config.config import Campaign, Config, redacted
from trajgen_assets.core.config.load import load_config, parse_config
from trajgen_assets.core.config.secrets import Secret

__all__ = ["Campaign", "Config", "Secret", "load_config", "parse_config", "redacted"]
