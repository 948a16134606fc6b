"""Ignore files by patterns."""

from ignorepath.rules import Rule, RuleSet
from ignorepath.walk import kept_files

__all__ = ["Rule", "RuleSet", "kept_files"]
