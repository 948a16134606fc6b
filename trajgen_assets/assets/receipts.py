"""The receipt of a data set as a table. Reasons and names are made of plain characters: nothing is read as markup."""

import dagster as dg

from trajgen_assets.assets.links import partition_page
from trajgen_assets.core.sft.data_sets.receipt import DataSetReceipt
from trajgen_assets.core.sft.receipt import Balance
from trajgen_assets.names import SFT_LF


def part_table(receipt: DataSetReceipt) -> dg.MarkdownMetadataValue:
    """A row for each job of a data set: what its rows became, with a link to its own page."""
    reasons = sorted(receipt.rows.rejected)
    head = [
        f"| job | in | kept | {''.join(f'`{reason}` | ' for reason in reasons)}",
        f"|---|{'---|' * (len(reasons) + 2)}",
    ]
    named = [(f"[`{part.job}`]({partition_page(SFT_LF, part.job)})", part.rows) for part in receipt.jobs]
    return dg.MetadataValue.md(
        "\n".join([*head, *(_row(name, rows, reasons) for name, rows in [*named, ("all", receipt.rows)])])
    )


def _row(name: str, rows: Balance, reasons: list[str]) -> str:
    return f"| {name} | {_cells([rows.n_in, rows.n_kept, *(rows.rejected.get(reason, 0) for reason in reasons)])} |"


def _cells(numbers: list[int]) -> str:
    return " | ".join(f"{number:,}" for number in numbers)
