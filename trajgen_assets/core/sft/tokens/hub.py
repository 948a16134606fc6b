"""Single files of the model hub, by its own client."""

from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

from trajgen_assets.core.errors import ConversionError
from trajgen_assets.core.sft.tokens.source import is_pinned


def hub_file(repo: str, file_name: str, revision: str | None) -> Path | None:
    """Return a file of a model; None where it has none, or where that is not known and may not be asked for."""
    known = huggingface_hub.try_to_load_from_cache(repo, file_name, revision=revision)
    if isinstance(known, str):
        return Path(known)
    if known is not None or not is_pinned(revision):
        return None
    try:
        return Path(huggingface_hub.hf_hub_download(repo, file_name, revision=revision, library_name="trajgen"))
    except LocalEntryNotFoundError as error:
        mend = "try again with a connection, or name a folder that has its files"
        where = f"{file_name} of {repo}@{revision}"
        raise ConversionError(
            "the tokenizer could not be fetched", where=where, why=_first_line(error), mend=mend
        ) from error
    except EntryNotFoundError:
        return None
    except (HfHubHTTPError, OSError) as error:
        where = f"{file_name} of {repo}@{revision}"
        mend = "check the name and the commit; for a gated model, log the hub's client in"
        raise ConversionError(
            "the hub did not give the tokenizer", where=where, why=_first_line(error), mend=mend
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
