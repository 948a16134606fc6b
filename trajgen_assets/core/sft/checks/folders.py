"""Which checks a folder of training data gets: the rows of a job, its LF file, or a data set with both."""

from collections.abc import Collection, Iterable

from trajgen_assets.core.sft.checks.balance import check_data_set_balance, check_im_balance, check_lf_balance
from trajgen_assets.core.sft.checks.files import Subject, check_im, check_lf
from trajgen_assets.core.sft.checks.findings import Check, Verdict

IM_CHECKS = (Check.ROLES_ALTERNATE, Check.NO_SECRETS, Check.NO_EXCLUDED_REPOSITORY, Check.RECEIPT_BALANCES)
LF_CHECKS = (Check.LOADER_KEEPS_EVERY_ROW, Check.NO_SECRETS, Check.RECEIPT_BALANCES)
DATA_SET_CHECKS = tuple(Check)


def look_at_im(subject: Subject, wanted: Collection[Check] = IM_CHECKS) -> list[Verdict]:
    """Make those checks of a job's IM rows that are wanted."""
    balance = [check_im_balance(subject.paths)] if Check.RECEIPT_BALANCES in wanted else []
    return [*check_im(subject, wanted).values(), *balance]


def look_at_lf(subject: Subject, wanted: Collection[Check] = LF_CHECKS) -> list[Verdict]:
    """Make those checks of a job's LF rows that are wanted."""
    balance = [check_lf_balance(subject.paths)] if Check.RECEIPT_BALANCES in wanted else []
    return [*check_lf(subject, wanted).values(), *balance]


def look_at_data_set(subject: Subject, wanted: Collection[Check] = DATA_SET_CHECKS) -> list[Verdict]:
    """Make those checks of a data set that are wanted, of both of its forms."""
    balance = [check_data_set_balance(subject.paths)] if Check.RECEIPT_BALANCES in wanted else []
    return _joined([*check_im(subject, wanted).values(), *check_lf(subject, wanted).values(), *balance])


def _joined(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """One verdict for each check."""
    joined: dict[Check, Verdict] = {}
    for verdict in verdicts:
        if (first := joined.setdefault(verdict.check, verdict)) is not verdict:
            first.absorb(verdict)
    return list(joined.values())
