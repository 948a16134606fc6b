"""`runtime_info.input.budget`: how much may be spent on a trial, on a job, and in a day."""

from trajgen_assets.core.config.section import Number, Positive, Section


class LimitChoice(Section):
    """How much may be spent; what is left out is not limited."""

    tokens: Positive | None = None
    cost_usd: Number | None = None

    @property
    def words(self) -> str:
        """The limit as people say it; empty where there is none."""
        amounts = (self.tokens and f"{self.tokens:,} tokens", self.cost_usd and f"{self.cost_usd:g} USD")
        return " or ".join(amount for amount in amounts if amount)


class BudgetChoice(Section):
    """Limits that the proxy enforces while trials run. A day is one in UTC, over all jobs of the root."""

    trial: LimitChoice = LimitChoice()
    job: LimitChoice = LimitChoice()
    day: LimitChoice = LimitChoice()

    @property
    def limits(self) -> tuple[LimitChoice, ...]:
        """All three."""
        return (self.trial, self.job, self.day)

    @property
    def is_in_money(self) -> bool:
        """Whether any limit is one of cost, for which prices must be known."""
        return any(limit.cost_usd is not None for limit in self.limits)
