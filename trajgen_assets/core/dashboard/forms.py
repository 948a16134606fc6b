"""How numbers and times stand in a page. What is not known is said to be so, and is never a 0."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from markupsafe import Markup

UNKNOWN = Markup('<span class="unknown" title="not known">n/a</span>')


def count(value: int | None) -> str:
    """`12,345`."""
    return UNKNOWN if value is None else f"{value:,}"


def amount(value: float | None) -> str:
    """A number that may be large, from a thousand on in three digits: `950`, `12.3 k`, `4.56 M`, `1.20 B`."""
    if value is None:
        return UNKNOWN
    for step, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= step * 0.9995:
            return f"{value / step:#.3g}".rstrip(".") + f" {unit}"
    return f"{value:.4g}"


def usd(value: float | None) -> str:
    """`$12.34`; of less than a dollar four places."""
    if value is None:
        return UNKNOWN
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.4f}"


def share(value: float | None) -> str:
    """A share between 0 and 1 as `61.5 %`; only what is all is `100 %`, and only nothing is `0 %`."""
    if value is None:
        return UNKNOWN
    if value in (0, 1):
        return f"{value:.0%}".replace("%", " %")
    return f"{min(99.9, max(0.1, value * 100)):.1f} %"


def number(value: float | None) -> str:
    """A reward or a score: `1`, `0.25`."""
    return UNKNOWN if value is None else f"{value:.3g}"


def span(seconds: float | None) -> str:
    """`8.2 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds is None:
        return UNKNOWN
    if seconds < 60:
        return f"{seconds:.3g} s"
    hours, rest = divmod(round(seconds), 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {left} s"


def size(n_bytes: int | None) -> str:
    """`812 B`, `1.24 MB`."""
    if n_bytes is None:
        return UNKNOWN
    for step, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= step:
            return f"{n_bytes / step:.3g} {unit}"
    return f"{n_bytes} B"


def moment(value: datetime | None) -> str:
    """A time to the second, in UTC."""
    if value is None:
        return UNKNOWN
    text = f"{value:%Y-%m-%d %H:%M:%S}"
    return Markup('<time datetime="{}Z">{}</time>').format(text.replace(" ", "T"), text)


def words(value: str) -> str:
    """A name of ours for people: `model_provider` is `model provider`."""
    return value.replace("_", " ")


def or_unknown(value: Any) -> Any:
    """The value itself, where there is one."""
    return UNKNOWN if value is None or value == "" else value


FILTERS: dict[str, Callable[[Any], Any]] = {
    each.__name__: each for each in (count, amount, usd, share, number, span, size, moment, words, or_unknown)
}
