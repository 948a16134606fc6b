"""The table itself."""

from collections import OrderedDict

from leasetable.clock import MonotonicClock
from leasetable.deadlines import Deadlines
from leasetable.entry import Entry, TooHeavyError
from leasetable.stats import Stats


class LeaseTable:
    """Weighted entries with a time to live; least recently used ones leave first."""

    def __init__(self, capacity, clock=None, on_evict=None):
        if capacity <= 0:
            raise ValueError("capacity must be positive")
        self.capacity = capacity
        self.stats = Stats()
        self._clock = clock or MonotonicClock()
        self._on_evict = on_evict
        self._entries = OrderedDict()
        self._deadlines = Deadlines()
        self._weight = 0
        self._serial = 0

    @property
    def weight(self):
        """Total weight of the entries that have not expired."""
        self._expire()
        return self._weight

    def put(self, key, value, weight=1, ttl_s=None):
        """Store `value` under `key`, replacing what was there, and make room for it."""
        if weight <= 0:
            raise ValueError("weight must be positive")
        if weight > self.capacity:
            raise TooHeavyError(f"{key!r} weighs {weight}, the table holds {self.capacity}")
        self._expire()
        if key in self._entries:
            self.stats.replaced += 1
            self._remove(key, "replaced")
        self._serial += 1
        expires_at = None if ttl_s is None else self._clock.now() + ttl_s
        self._entries[key] = Entry(value, weight, expires_at, self._serial)
        self._weight += weight
        if expires_at is not None:
            self._deadlines.add(expires_at, self._serial, key)
        self._shrink()

    def get(self, key, default=None):
        """Return the value of `key` and mark it as used."""
        self._expire()
        entry = self._entries.get(key)
        if entry is None:
            self.stats.misses += 1
            return default
        self.stats.hits += 1
        self._entries.move_to_end(key)
        return entry.value

    def peek(self, key, default=None):
        """Return the value of `key` without marking it as used."""
        self._expire()
        entry = self._entries.get(key)
        return default if entry is None else entry.value

    def pop(self, key, default=None):
        """Remove `key` and return its value. `on_evict` is not called."""
        self._expire()
        entry = self._entries.pop(key, None)
        if entry is None:
            return default
        self._weight -= entry.weight
        return entry.value

    def keys(self):
        """Keys from the least to the most recently used."""
        self._expire()
        return list(self._entries)

    def __len__(self):
        self._expire()
        return len(self._entries)

    def __contains__(self, key):
        self._expire()
        return key in self._entries

    def _expire(self):
        for serial, key in self._deadlines.pop_due(self._clock.now()):
            entry = self._entries.get(key)
            if entry is not None and entry.serial == serial:
                self.stats.expired += 1
                self._remove(key, "expired")

    def _shrink(self):
        while self._weight > self.capacity:
            self.stats.evicted += 1
            self._remove(next(iter(self._entries)), "capacity")

    def _remove(self, key, reason):
        entry = self._entries.pop(key)
        self._weight -= entry.weight
        if self._on_evict is not None:
            self._on_evict(key, entry.value, reason)
