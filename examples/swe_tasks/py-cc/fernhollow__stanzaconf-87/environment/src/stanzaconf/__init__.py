"""Layered configuration files with references between values."""

from stanzaconf.config import Config
from stanzaconf.errors import ConfigError, CycleError, MissingKeyError, SyntaxProblem

__all__ = ["Config", "ConfigError", "CycleError", "MissingKeyError", "SyntaxProblem"]
__version__ = "0.9.2"
