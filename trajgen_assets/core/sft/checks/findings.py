"""What a check has found: enough to go to the place, and never the text of a secret."""

from dataclasses import dataclass, field
from enum import StrEnum

from trajgen_assets.core.counting import count_of

# More are counted, and not shown: they are stored twice, and read by people.
MAX_SHOWN = 20
MAX_LENGTH = 200


class Check(StrEnum):
    """The checks, by the names that the web UI shows."""

    ROLES_ALTERNATE = "roles_alternate"
    NO_SECRETS = "no_secrets"
    NO_EXCLUDED_REPOSITORY = "no_excluded_repository"
    LOADER_KEEPS_EVERY_ROW = "loader_keeps_every_row"
    RECEIPT_BALANCES = "receipt_balances"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        file: the file that it is in.
        row: its row from 1; None where it is about the whole file.
        field: where in the row.
        found: what is there.
        is_grave: the data would do harm; else somebody should look at it.
    """

    file: str
    row: int | None
    field: str
    found: str
    is_grave: bool = True


@dataclass
class Verdict:
    """What one check has found in one folder."""

    check: Check
    n_rows: int = 0
    n_found: int = 0
    n_grave: int = 0
    shown: list[Finding] = field(default_factory=list)
    note: str | None = None

    def add(self, finding: Finding) -> None:
        """Take in a finding; of many only the first are kept."""
        self.n_found += 1
        self.n_grave += finding.is_grave
        if len(self.shown) < MAX_SHOWN:
            self.shown.append(finding)

    def absorb(self, other: "Verdict") -> None:
        """Take in what the same check has found in another file of the same rows."""
        self.n_rows = max(self.n_rows, other.n_rows)
        self.n_found += other.n_found
        self.n_grave += other.n_grave
        self.shown = [*self.shown, *other.shown][:MAX_SHOWN]

    @property
    def words(self) -> str:
        """The outcome in a sentence."""
        looked = f"of {count_of(self.n_rows, 'row')}" if self.n_rows else "no row was there"
        if not self.n_found:
            return "; ".join(filter(None, (f"nothing found, {looked}", self.note)))
        first = self.shown[0]
        place = first.file if first.row is None else f"{first.file}, row {first.row}"
        where = f"{place}, {first.field}" if first.field else place
        return f"{count_of(self.n_found, 'fault')} {looked}; the first: {where}: {first.found}"
