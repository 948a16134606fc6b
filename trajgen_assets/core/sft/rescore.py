"""New scores for rows that stand: nothing is converted or rolled out again, and no row comes or goes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trajgen_assets.core.atomic import open_atomic
from trajgen_assets.core.sft.encoding import encode
from trajgen_assets.core.sft.im import read_im
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.receipt import ImReceipt, Receipt, SftPaths, digests
from trajgen_assets.core.sft.score.composite import scored
from trajgen_assets.core.sft.score.rules import SCORE_VERSION
from trajgen_assets.core.sft.score.story import story_of_row
from trajgen_assets.core.sft.table import write_table_again
from trajgen_assets.core.sft.versions import carry_over


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


def scored_again(standing: Receipt) -> Rescored:
    """Return what scoring the rows of a standing result again gives, writing nothing."""
    result = Rescored(standing.model_copy(update={"changed": False}))
    for old, new in _rows(SftPaths(standing.folder)):
        result.add(old, new)
    return result


def write_scored_again(standing: Receipt, folder: Path) -> ImReceipt:
    """Write the rows of a standing result into `folder`, scored by today's rules, and rejected.jsonl as it is."""
    earlier, paths = SftPaths(standing.folder), SftPaths(folder)
    carry_over(earlier.rejected, folder)
    changed: list[tuple[Json | None, int]] = []
    with open_atomic(paths.im) as file:
        for _, new in _rows(earlier):
            line = encode(new)
            file.write(line + b"\n")
            changed.append((new["meta_info"]["unique_info"]["_score"], len(line)))
    written = [paths.im]
    if earlier.table.exists():  # earlier versions wrote none
        write_table_again(earlier.table, paths.table, iter(changed))
        written.append(paths.table)
    files = standing.sft_im.files | digests(*written)
    return standing.sft_im.model_copy(update={"score_version": SCORE_VERSION, "files": files})


def _rows(paths: SftPaths) -> Iterator[tuple[Json, Json]]:
    for row in read_im(paths.im):
        yield row, scored(row, story_of_row(row))
