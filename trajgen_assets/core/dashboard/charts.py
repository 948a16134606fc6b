"""The geometry of charts. Templates draw them as SVG: bars that are links, in the colours of the page's theme."""

from collections.abc import Sequence

FULL = 100.0


def bars(values: Sequence[float]) -> list[float]:
    """Lengths for `values`, in hundredths of the largest; what is not 0 can be seen."""
    largest = max(values, default=0)
    return [max(0.4, FULL * value / largest) if value > 0 else 0.0 for value in values]
