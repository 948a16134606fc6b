"""A table of weighted entries that expire."""

from leasetable.clock import ManualClock, MonotonicClock
from leasetable.entry import Entry, TooHeavyError
from leasetable.stats import Stats
from leasetable.table import LeaseTable

__all__ = ["Entry", "LeaseTable", "ManualClock", "MonotonicClock", "Stats", "TooHeavyError"]
