"""The data sets that there are, and whether they still are what their jobs give."""

from collections.abc import Iterator

from trajgen_assets.core.paths import Root
from trajgen_assets.core.sft.data_sets.receipt import DataSetReceipt, load_data_set
from trajgen_assets.core.sft.receipt import SftPaths, load_receipt


def data_sets_of(root: Root) -> Iterator[DataSetReceipt]:
    """Yield the receipt of each data set, by name. Folders of jobs' data are passed over."""
    folders = sorted(root.sft_data.iterdir()) if root.sft_data.is_dir() else []
    for folder in folders:
        if folder.name.startswith(".") or root.job(folder.name).dir.exists():
            continue  # versions; and the data of a job, whose name no data set has and whose receipt may be large
        if (receipt := load_data_set(folder)) is not None:
            yield receipt


def why_stale(root: Root, receipt: DataSetReceipt) -> str | None:
    """Return why a build would give another data set, or None. Files are not read: it compares what receipts say."""
    for part in receipt.jobs:
        current = load_receipt(root.job(part.job).sft)
        if current is None:
            return f"the data of {part.job} is gone"
        if current.sft_im.files[SftPaths(current.folder).im.name] != part.im:
            return f"{part.job} was converted anew"
    return None
