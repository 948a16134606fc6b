"""What a task's compose file asks of the host: compose runs with Harbor's environment, which holds keys."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import yaml

COMPOSE_NAME = "docker-compose.yaml"

# What Harbor itself sets for the compose files of a task.
OF_HARBOR = frozenset(
    {
        "MAIN_IMAGE_NAME", "CONTEXT_DIR", "PREBUILT_IMAGE_NAME", "CPUS", "MEMORY",
        "ENV_VERIFIER_LOGS_PATH", "ENV_AGENT_LOGS_PATH", "ENV_ARTIFACTS_PATH",
        "HOST_VERIFIER_LOGS_PATH", "HOST_AGENT_LOGS_PATH", "HOST_ARTIFACTS_PATH",
    }
)  # fmt: skip

_REFERENCE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")
# Below these keys a name without a value is given the host's; of a secret, `environment` holds such a name itself.
_PASSING_ON = frozenset({"environment", "args"})
# Files of which the values are filled in just so. They are not looked into: a task can say the same in one file.
_DRAWING_IN = frozenset({"include", "extends", "env_file"})


def compose_problems(folder: Path, declared: Collection[str]) -> Iterator[str]:
    """Why the compose file of an environment folder is refused, in words; nothing where there is none, or no reason.

    Args:
        folder: `environment/` of a task.
        declared: the variables that task.toml gives values itself.

    Raises:
        OSError: it cannot be read.
    """
    path = folder / COMPOSE_NAME
    if not path.is_file():
        return
    try:
        document = yaml.load(path.read_bytes(), Loader=_Loader)  # noqa: S506  a safe loader
    except (yaml.YAMLError, ValueError, RecursionError):
        yield f"{COMPOSE_NAME} is not YAML"
        return
    found = dict(_asked(document, "", set()))
    yield from (f"{COMPOSE_NAME}: {words}" for words, name in found.items() if name not in {*OF_HARBOR, *declared})


class _Loader(yaml.SafeLoader):
    """Reads compose's own tags, such as `!override`, as if they were not there."""

    def untagged(self, _suffix: str, node: yaml.MappingNode | yaml.SequenceNode | yaml.ScalarNode) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self.construct_mapping(node, deep=True)
        if isinstance(node, yaml.SequenceNode):
            return self.construct_sequence(node, deep=True)
        return self.construct_scalar(node)


_Loader.add_multi_constructor("!", _Loader.untagged)


def _asked(value: Any, key: str, seen: set[tuple[int, str]]) -> Iterator[tuple[str, str]]:
    """Each variable that a value asks for, and each file that it draws in, which has no name: words, and the name.

    Args:
        value: what stands under `key`.
        seen: what was looked at already: an alias may stand in many places, and within itself.
    """
    if isinstance(value, str):
        names = _REFERENCE.findall(value.replace("$$", ""))
        bare = [value] if key in _PASSING_ON and "=" not in value else []
        yield from ((_words(name), name) for name in (*names, *bare))
    if not isinstance(value, dict | list) or (id(value), key) in seen:
        return
    seen.add((id(value), key))
    for name, each in value.items() if isinstance(value, dict) else ((key, each) for each in value):
        if name in _DRAWING_IN and _is_of_another_file(name, each):
            yield f"{name} draws in another file, which is not looked into", ""
        elif each is None and key in _PASSING_ON:
            yield _words(name), str(name)
        else:
            yield from _asked(each, str(name), seen)


def _is_of_another_file(name: str, value: Any) -> bool:
    return name != "extends" or (isinstance(value, dict) and "file" in value)


def _words(name: object) -> str:
    return f"it asks for the host's {ascii(name)[1:-1][:80]}; [environment.env] of task.toml can set it"
