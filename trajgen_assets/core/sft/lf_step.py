"""The second step of a conversion: what LLaMA-Factory needs of the rows of im.jsonl, one row at a time."""

from pathlib import Path

from trajgen_assets.core import atomic
from trajgen_assets.core.atomic import open_atomic
from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.sft.columns import unfit_keys
from trajgen_assets.core.sft.encoding import ArrayWriter, encode
from trajgen_assets.core.sft.im import read_im
from trajgen_assets.core.sft.lf import COPIED_FACTS, check_lf_row, dataset_entry, lf_row
from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.plan import CODE_VERSION, sha256_json
from trajgen_assets.core.sft.receipt import FileDigest, LfReceipt, SftPaths, digests
from trajgen_assets.core.sft.settings import ConversionSettings, LfFormat
from trajgen_assets.core.sft.stats import LfStats
from trajgen_assets.core.sft.tokens import RefusedByTemplateError
from trajgen_assets.core.sft.tokens.length import ruler_of
from trajgen_assets.core.sft.tokens.source import TokenizerFiles, find_tokenizer


def write_lf(job: str, settings: ConversionSettings, folder: Path) -> LfReceipt:
    """Write lf.json, lf.stats.json and dataset_info.json from the im.jsonl in `folder`.

    Raises:
        ConversionError: LLaMA-Factory would lose a row of it.
    """
    n_rows, files = write_lf_files(SftPaths(folder), job, settings.lf_format, style_tokenizer(settings))
    return LfReceipt(signature=lf_signature(job, settings), lf_format=settings.lf_format, n_rows=n_rows, files=files)


def lf_signature(job: str, settings: ConversionSettings) -> str:
    """Digest what makes lf.json of a job what it is, beside its im.jsonl."""
    tokenizer = style_tokenizer(settings)
    return sha256_json([CODE_VERSION, settings.lf_format, job, tokenizer.sha256 if tokenizer else None])


def style_tokenizer(settings: ConversionSettings) -> TokenizerFiles | None:
    """Return the tokenizer whose template writes the rows of lf.json, if the style has them written by one.

    Raises:
        ConversionError: it is not to be had.
    """
    if settings.lf_format == "sharegpt" or settings.tokenizer_name is None:
        return None
    return find_tokenizer(settings.tokenizer_name)


def check_tokenizer(settings: ConversionSettings) -> None:
    """See that the tokenizer can be read, and that its chat template can write the chosen style.

    Raises:
        ConversionError: it is not there, or cannot be read, for which else each trial would be left out; or its
            template cannot write.
    """
    if settings.tokenizer_name is None:
        return
    from trajgen_assets.core.sft.tokens.messages_row import template_of  # takes 50 ms

    tokenizer = find_tokenizer(settings.tokenizer_name)
    ruler_of(tokenizer)
    template_of(tokenizer, must_be_chatml=settings.lf_format != "sharegpt")


def write_lf_files(
    paths: SftPaths, name: str, lf_format: LfFormat, tokenizer: TokenizerFiles | None = None
) -> tuple[int, dict[str, FileDigest]]:
    """Write all that LLaMA-Factory needs of the rows of im.jsonl, as data set `name`; `lf_row` says what for.

    Returns:
        The number of rows, and the digest of each file that was written.

    Raises:
        ConversionError: LLaMA-Factory would lose a row, or the tokenizer's template does not write one.
    """
    stats = _write_rows(paths, lf_format, tokenizer)
    atomic.write_json(paths.stats, stats.as_json())
    atomic.write_json(paths.dataset, dataset_entry(name, lf_format, paths.lf.name))
    return stats.n_rows, digests(paths.lf, paths.stats, paths.dataset)


def _mixed_facts(paths: SftPaths) -> frozenset[str]:
    """Read all rows once before any is written: only then is known which facts keep their shape."""
    return unfit_keys((im["meta_info"]["unique_info"] for im in read_im(paths.im)), COPIED_FACTS)


def _write_rows(paths: SftPaths, lf_format: LfFormat, tokenizer: TokenizerFiles | None) -> LfStats:
    stats = LfStats()
    as_text = _mixed_facts(paths) if lf_format != "sharegpt" else frozenset()
    with open_atomic(paths.lf) as file:
        array = ArrayWriter(file)
        for im in read_im(paths.im):
            array.add(encode(_loadable_row(im, lf_format, as_text, tokenizer, f"row {stats.n_rows + 1} of {paths.im}")))
            stats.add(im)
        array.close()
    return stats


def _loadable_row(
    im: Json, lf_format: LfFormat, as_text: frozenset[str], tokenizer: TokenizerFiles | None, where: str
) -> Json:
    try:
        row = lf_row(im, lf_format, as_text, tokenizer)
    except RefusedByTemplateError as error:
        mend = "choose the format sharegpt, or a tokenizer with another chat template"
        raise ConversionError("the chat template does not write a row", where=where, why=error, mend=mend) from error
    if fault := check_lf_row(row):
        raise ConversionError("LLaMA-Factory would not load a row", where=where, why=fault, mend="report it")
    return row
