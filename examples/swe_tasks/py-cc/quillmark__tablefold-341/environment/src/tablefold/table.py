"""The table that callers fill and print."""

from itertools import zip_longest

from tablefold.fold import fold
from tablefold.layout import fit, natural_widths
from tablefold.styles import ASCII
from tablefold.width import pad

_ALIGNMENTS = ("left", "right", "center")


class Table:
    """Rows of text cells under a header."""

    def __init__(self, header, align=None, style=ASCII):
        if not header:
            raise ValueError("a table needs at least one column")
        self._rows = [[str(cell) for cell in header]]
        self._align = list(align or ["left"] * len(header))
        self._style = style
        if len(self._align) != len(header) or any(each not in _ALIGNMENTS for each in self._align):
            raise ValueError(f"align must name one of {', '.join(_ALIGNMENTS)} for each column")

    def add(self, *cells):
        """Append a row. It must have as many cells as the header."""
        if len(cells) != len(self._rows[0]):
            raise ValueError(f"expected {len(self._rows[0])} cells, got {len(cells)}")
        self._rows.append([str(cell) for cell in cells])

    def render(self, max_width=None):
        """Return the table as text, at most `max_width` cells wide where that is possible."""
        widths = natural_widths(self._rows)
        if max_width is not None:
            widths = fit(widths, max_width)
        rule = self._style.rule(widths)
        header, *body = ("\n".join(self._lines(row, widths)) for row in self._rows)
        return "\n".join([rule, header, rule, *body, rule] if body else [rule, header, rule])

    def _lines(self, row, widths):
        folded = [fold(cell, width) for cell, width in zip(row, widths)]
        for parts in zip_longest(*folded, fillvalue=""):
            yield self._style.row(
                [pad(part, width, align) for part, width, align in zip(parts, widths, self._align)]
            )
