"""LLaMA-Factory's own road from `dataset_info.json` to token ids, for the Python of the environment `llamafactory-uv`.

    python llamafactory_loader.py FOLDER DATA_SET TEMPLATE...

Prints one JSON object: for each template what became of the rows. A row that LLaMA-Factory passes over is missing
there; a row that it refuses ends this program with its error.

Everything on that road is its own code: `get_dataset` with its parser, `load_dataset`, the converter, the templates
with their formatters and the supervised processor. Replaced are only modules that import torch or transformers for
other ends, and the tokenizer: here a token is a character, so that the ids can be read back.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any

UNCUT = 10**9
FIRST_SPECIAL = sys.maxunicode + 1


class CharacterTokenizer:
    """One token for each character, and ids of its own for special tokens."""

    bos_token, eos_token, pad_token = "<bos>", "<eos>", "<pad>"
    chat_template = ""

    def __init__(self) -> None:
        self.special = [self.bos_token, self.eos_token, self.pad_token]
        self.bos_token_id, self.eos_token_id, self.pad_token_id = map(self.convert_tokens_to_ids, self.special)

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        return [ord(character) for character in text]

    def convert_tokens_to_ids(self, token: str) -> int:
        if token not in self.special:
            self.special.append(token)
        return FIRST_SPECIAL + self.special.index(token)

    def add_special_tokens(self, tokens: dict[str, Any], **_settings: Any) -> int:
        self.eos_token = tokens.get("eos_token", self.eos_token)
        self.eos_token_id = self.convert_tokens_to_ids(self.eos_token)
        return 0

    def decode(self, ids: list[int]) -> str:
        return "".join(self.special[i - FIRST_SPECIAL] if i >= FIRST_SPECIAL else chr(i) for i in ids)


class TextPlugin:
    """What LLaMA-Factory's plugin for text alone does with messages and ids: nothing."""

    def process_messages(self, messages: list[Any], *_media: Any) -> list[Any]:
        return messages

    def process_token_ids(self, input_ids: list[int], labels: list[int], *_media: Any) -> tuple[list[int], list[int]]:
        return input_ids, labels


def module(name: str, **names: Any) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(names)
    sys.modules[name] = made
    return made


def package(name: str) -> None:
    """A package whose modules can be imported, and whose own `__init__` is not run."""
    (place,) = find_spec("llamafactory").submodule_search_locations
    module(name, __path__=[f"{place}/{name.partition('.')[2]}"])


@contextmanager
def file_names_of_weights() -> Iterator[None]:
    """`extras.constants` takes five file names from peft and transformers. `datasets` must see neither later."""
    before = set(sys.modules)
    for name, constants in (
        ("peft", ("WEIGHTS_NAME", "SAFETENSORS_WEIGHTS_NAME")),
        ("transformers", ("WEIGHTS_NAME", "WEIGHTS_INDEX_NAME", "SAFE_WEIGHTS_NAME", "SAFE_WEIGHTS_INDEX_NAME")),
    ):
        module(name)
        module(f"{name}.utils", **dict.fromkeys(constants, "weights"))
    import_module("llamafactory.extras.constants")
    yield
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {"peft", "transformers"}:
            del sys.modules[name]


def import_llamafactory() -> SimpleNamespace:
    package("llamafactory.data")
    package("llamafactory.hparams")
    module("llamafactory.data.mm_plugin", get_mm_plugin=lambda name, **_settings: TextPlugin())
    no_hub = dict.fromkeys(("use_modelscope", "use_openmind", "has_tokenized_data", "check_version"), lambda *_: False)
    module("llamafactory.extras.misc", **no_hub)
    with file_names_of_weights():
        loader = import_module("llamafactory.data.loader")
    return SimpleNamespace(
        loader=loader,
        template=import_module("llamafactory.data.template"),
        DataArguments=import_module("llamafactory.hparams.data_args").DataArguments,
        ignore_index=import_module("llamafactory.extras.constants").IGNORE_INDEX,
    )


def load(lf: SimpleNamespace, folder: str, data_set: str, template_name: str) -> dict[str, Any]:
    """What becomes of the data set under one template.

    `aligned`: for each row its turns as (role, content), no turn for a row that was passed over, with `system` and
    `tools`; `calls`: for each row the calls that the template's own extractor reads from what its formatter wrote;
    `texts` and `learned`: for each row that was kept all of it, and the part that is trained on.
    """
    tokenizer = CharacterTokenizer()
    data = lf.DataArguments(
        template=template_name, dataset=data_set, dataset_dir=folder, cutoff_len=UNCUT, overwrite_cache=True
    )
    template = lf.template.get_template_and_fix_tokenizer(tokenizer, data)
    model = SimpleNamespace(cache_dir=None, hf_hub_token=None)
    training = SimpleNamespace(
        local_process_index=0,
        seed=42,
        should_log=False,
        predict_with_generate=False,
        main_process_first=lambda **_settings: nullcontext(),
    )
    rows = list(lf.loader._get_merged_dataset(data.dataset, model, data, training, "sft"))
    kept = list(lf.loader.get_dataset(template, model, data, training, "sft", tokenizer)["train_dataset"])
    turns = [row["_prompt"] + row["_response"] for row in rows]
    return {
        "aligned": [
            {
                "turns": [(turn["role"], turn["content"]) for turn in dialogue],
                "system": row["_system"],
                "tools": row["_tools"],
            }
            for row, dialogue in zip(rows, turns, strict=True)
        ],
        "calls": [
            [call for turn in dialogue for call in calls_of(template, turn, tokenizer.eos_token)] for dialogue in turns
        ],
        "texts": [tokenizer.decode(row["input_ids"]) for row in kept],
        "learned": [tokenizer.decode([i for i in row["labels"] if i != lf.ignore_index]) for row in kept],
    }


def calls_of(template: Any, turn: dict[str, str], end: str) -> list[Any]:
    """Read calls back as at inference, where a reply comes without the token that ends it."""
    if turn["role"] != "function":
        return []
    words = {"thought_words": template.thought_words, "tool_call_words": template.tool_call_words}
    slots = template.format_function.apply(content=turn["content"], **words)
    text = "".join(slot for slot in slots if isinstance(slot, str)).rstrip().removesuffix(end)
    read = template.extract_tool(text)
    return [[call.name, json.loads(call.arguments)] for call in read] if isinstance(read, list) else [text]


if __name__ == "__main__":
    folder, data_set, *templates = sys.argv[1:]
    with redirect_stdout(sys.stderr):  # its progress and warnings
        lf = import_llamafactory()
        fates = {name: load(lf, folder, data_set, name) for name in templates}
    json.dump(fates, sys.stdout)
