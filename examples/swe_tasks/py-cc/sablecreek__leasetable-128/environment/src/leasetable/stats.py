"""Counters of a table."""

from dataclasses import dataclass


@dataclass
class Stats:
    """How often each thing happened since the table was made."""

    hits: int = 0
    misses: int = 0
    expired: int = 0
    evicted: int = 0
    replaced: int = 0

    @property
    def hit_ratio(self):
        """Share of lookups that found something; 0.0 before the first one."""
        lookups = self.hits + self.misses
        return self.hits / lookups if lookups else 0.0
