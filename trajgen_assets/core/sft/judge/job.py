"""One job's rows and the judge that its configuration chooses."""

from trajgen_assets.core.config import Config
from trajgen_assets.core.config.inputs import LlmScore
from trajgen_assets.core.config.llm_api import LlmApi
from trajgen_assets.core.errors import BusyError, ConfigError, ConversionError
from trajgen_assets.core.locks import locked_if_free
from trajgen_assets.core.paths import Root
from trajgen_assets.core.preflight.prices import has_price
from trajgen_assets.core.redact import Redactor
from trajgen_assets.core.sft.im import read_im
from trajgen_assets.core.sft.judge.asking import JudgeModel, Spending
from trajgen_assets.core.sft.judge.checks import Method
from trajgen_assets.core.sft.judge.scoring import Judge, Judged, judge_rows
from trajgen_assets.core.sft.judge.store import AnswerStore
from trajgen_assets.core.sft.receipt import SftPaths


def judge_job(root: Root, config: Config, name: str, method: Method, *, dry_run: bool = False) -> Judged:
    """Have the rows of a job judged, as far as they are not yet; `dry_run` asks nothing and counts.

    Raises:
        BusyError: another process judges the job.
        ConfigError: the budget is one of money, and no price of the model is known; or its key is not set.
        ConversionError: the job has no rows, or what was answered before cannot be read.
    """
    choice = config.runtime_info.input.sft_conversion.llm_score
    api = choice.llm_api or config.runtime_info.input.llm_api
    _refuse_unpriced(choice, api)
    job = root.job(name)
    im = SftPaths(job.sft).im
    if not im.exists():
        raise ConversionError("there are no rows to be judged", where=im, mend=f"`trajgen convert {name}`")
    with locked_if_free(root.locks / "judge" / name) as lock:
        if lock is None:
            raise BusyError("the rows are being judged", where=name, mend="wait for it")
        store = AnswerStore(job.llm_scores)
        model = JudgeModel(api, Spending(choice.budget, *store.spent()))
        judge = Judge(method, model, store, Redactor.of(config))
        if dry_run:
            judged = Judged.of_known(read_im(im), judge)
        else:
            for endpoint in api.pool:
                endpoint.api_key.reveal()  # before any row: an unset key is no fault of theirs
            judged = judge_rows(read_im(im), judge, concurrency=choice.concurrency)
        judged.tokens, judged.cost_usd = store.spent()
        return judged


def _refuse_unpriced(choice: LlmScore, api: LlmApi) -> None:
    if choice.budget.cost_usd is not None and not has_price(api):
        raise ConfigError(
            "a budget in money needs prices",
            where="runtime_info.input.sft_conversion.llm_score",
            why=f"none is known of {api.model}",
            mend="set input_cost_per_token and output_cost_per_token, or a budget in tokens",
        )
