"""How wide each column becomes."""

from tablefold.width import display_width

MIN_WIDTH = 4


def natural_widths(rows):
    """The width of the widest line of each column."""
    return [max(_widest_line(cell) for cell in column) for column in zip(*rows)]


def _widest_line(cell):
    return max(display_width(line) for line in cell.split("\n"))


def frame_width(n_columns):
    """Cells taken by borders and by the blanks beside the cells."""
    return 3 * n_columns + 1


def fit(widths, max_width):
    """Shrink the widest columns, cell by cell, until the table fits or none can shrink."""
    widths = list(widths)
    budget = max_width - frame_width(len(widths))
    while sum(widths) > budget:
        widest = max(range(len(widths)), key=widths.__getitem__)
        if widths[widest] <= MIN_WIDTH:
            break
        widths[widest] -= 1
    return widths
