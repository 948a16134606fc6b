"""The characters that tables are drawn with."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """Characters of lines and crossings."""

    horizontal: str
    vertical: str
    crossing: str

    def rule(self, widths):
        """A horizontal line across columns of these widths, blanks beside the cells included."""
        return self.crossing + self.crossing.join(self.horizontal * (width + 2) for width in widths) + self.crossing

    def row(self, cells):
        """One line of cells that are padded already."""
        return f"{self.vertical} " + f" {self.vertical} ".join(cells) + f" {self.vertical}"


ASCII = Style("-", "|", "+")
BOX = Style("─", "│", "┼")
