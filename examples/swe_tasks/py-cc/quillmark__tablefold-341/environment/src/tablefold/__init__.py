"""Plain-text tables that fit a terminal."""

from tablefold.styles import ASCII, BOX, Style
from tablefold.table import Table
from tablefold.width import display_width

__all__ = ["ASCII", "BOX", "Style", "Table", "display_width"]
