"""Which entry expires next."""

import heapq


class Deadlines:
    """A heap of (moment, serial, key).

    Entries that were removed or replaced stay in the heap until their moment
    comes; the table recognises them by their serial number.
    """

    def __init__(self):
        self._heap = []

    def add(self, expires_at, serial, key):
        heapq.heappush(self._heap, (expires_at, serial, key))

    def pop_due(self, now_s):
        """Yield `(serial, key)` of everything that is due, earliest first."""
        while self._heap and self._heap[0][0] <= now_s:
            _, serial, key = heapq.heappop(self._heap)
            yield serial, key

    def __len__(self):
        return len(self._heap)
