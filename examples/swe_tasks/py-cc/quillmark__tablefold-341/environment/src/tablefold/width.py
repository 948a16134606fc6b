"""How many terminal cells a text takes."""

import unicodedata

_ZERO_WIDTH_CATEGORIES = {"Mn", "Me", "Cf"}
_WIDE = {"W", "F"}


def char_width(char):
    """Cells of one character: 0 for combining marks and joiners, 2 for wide ones."""
    if unicodedata.category(char) in _ZERO_WIDTH_CATEGORIES:
        return 0
    return 2 if unicodedata.east_asian_width(char) in _WIDE else 1


def display_width(text):
    """Cells of a text without line breaks."""
    return sum(char_width(char) for char in text)


def pad(text, width, align="left"):
    """Fill `text` with blanks up to `width` cells."""
    missing = max(0, width - display_width(text))
    if align == "right":
        return " " * missing + text
    if align == "center":
        left = missing // 2
        return " " * left + text + " " * (missing - left)
    return text + " " * missing
