"""Fold a cell over several lines."""

from tablefold.width import char_width, display_width


def fold(text, width):
    """Split `text` into lines of at most `width` cells.

    Lines break at blanks; a word that is too wide alone is broken anywhere, but
    never between a character and its combining marks.
    """
    lines = []
    for paragraph in text.split("\n"):
        lines.extend(_fold_paragraph(paragraph, width))
    return lines


def _fold_paragraph(text, width):
    lines, current = [], ""
    for word in text.split(" "):
        candidate = f"{current} {word}" if current else word
        if display_width(candidate) <= width:
            current = candidate
            continue
        if current:
            lines.append(current)
        *full, current = break_word(word, width)
        lines.extend(full)
    lines.append(current)
    return lines


def break_word(word, width):
    """Split one word into pieces of at most `width` cells, at least one character each."""
    pieces, piece, used = [], "", 0
    for char in word:
        cells = char_width(char)
        if piece and cells and used + cells > width:
            pieces.append(piece)
            piece, used = "", 0
        piece += char
        used += cells
    pieces.append(piece)
    return pieces
