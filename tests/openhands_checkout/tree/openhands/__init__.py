"""The stand-in's agent."""

__version__ = "0.62.0"
