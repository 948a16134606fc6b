"""New scores for rows that stand: nothing is converted or rolled out again, and no row comes or goes."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from trajgen_assets.core.atomic import open_atomic
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.sft.encoding import encode
from trajgen_assets.core.sft.im import read_im
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.receipt import Receipt, SftPaths, digests, load_receipt, stands, write_receipt
from trajgen_assets.core.sft.score.composite import scored
from trajgen_assets.core.sft.score.rules import SCORE_VERSION
from trajgen_assets.core.sft.score.story import story_of_row


@dataclass
class Rescored:
    """What scoring the rows of a job again gave.

    Attributes:
        receipt: the receipt as it stands now; its `changed` says whether anything was written.
        composites: the composite of each row that has one, in the order of the rows.
        n_changed: rows whose score, or its evidence, is another than before.
    """

    receipt: Receipt
    composites: list[float] = field(default_factory=list)
    n_changed: int = 0

    def add(self, old: Json, new: Json) -> None:
        """Take in one row, before and after."""
        self.n_changed += new != old
        shown = new["meta_info"]["unique_info"]["_score"]
        if shown is not None:
            self.composites.append(shown["composite_score"])

    @property
    def mean(self) -> float | None:
        """The mean of the composites, to four places."""
        return round(sum(self.composites) / len(self.composites), 4) if self.composites else None


def rescore_im(job: JobPaths, *, dry_run: bool = False) -> Rescored:
    """Score the rows of im.jsonl again, and write it and its receipt where a score became another.

    Raises:
        ConversionError: im.jsonl is missing, or not the one of the receipt.
    """
    paths, receipt = SftPaths(job.sft), load_receipt(job.sft)
    if receipt is None or not stands(receipt.sft_im.files, job.sft):
        mend = "convert the job first: `trajgen convert`"
        raise ConversionError("there is no im.jsonl with its receipt", where=job.sft, mend=mend)
    result = Rescored(receipt.model_copy(update={"changed": False}))
    for old, new in _rows(paths):
        result.add(old, new)
    if dry_run or not (result.n_changed or receipt.sft_im.score_version != SCORE_VERSION):
        return result
    with open_atomic(paths.im) as file:  # scored once more: a row may be of many megabytes, and a job of many rows
        for _, new in _rows(paths):
            file.write(encode(new) + b"\n")
    files = receipt.sft_im.files | digests(paths.im)
    im = receipt.sft_im.model_copy(update={"score_version": SCORE_VERSION, "files": files})
    lf = receipt.sft_lf if files == receipt.sft_im.files else None
    result.receipt = receipt.model_copy(update={"sft_im": im, "sft_lf": lf, "changed": True})
    write_receipt(result.receipt)
    return result


def _rows(paths: SftPaths) -> Iterator[tuple[Json, Json]]:
    for row in read_im(paths.im):
        yield row, scored(row, story_of_row(row))
