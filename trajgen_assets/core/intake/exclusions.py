"""Task ids that a person retired: listed or not, they are never assigned."""

from pathlib import Path

from trajgen_assets.core.config.config import Config
from trajgen_assets.core.errors import ConfigError

FILE_NAME = "excluded_tasks.txt"


def excluded_ids(config: Config) -> frozenset[str]:
    """Ids from `excluded_tasks.txt` beside the configuration, and from the tokens of `HARBOR_EXCLUDE_TASKS`.

    A token is an id or the path of a file with one id a line and `#` comments. A YAML file is a ledger of the earlier
    system; what this system's own ledger has consumed is never assigned anyway.

    Raises:
        ConfigError: a token names a file that is not there, or cannot be read. It never means "exclude nothing".
    """
    found: set[str] = set()
    own = config.resolve(FILE_NAME)
    if own.exists():
        found |= _ids_in(own)
    for token in config.excluded_tokens():
        path = config.resolve(token)
        if path.suffix in (".yaml", ".yml"):
            continue
        found |= _ids_in(path) if path.is_file() or _looks_like_path(token) else {token}
    return frozenset(found)


def _looks_like_path(token: str) -> bool:
    return "/" in token or token.endswith(".txt")


def _ids_in(path: Path) -> set[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        mend = "correct HARBOR_EXCLUDE_TASKS, or write the file"
        raise ConfigError("a list of excluded tasks cannot be read", where=path, why=error, mend=mend) from error
    return {text for line in lines if (text := line.partition("#")[0].strip())}
