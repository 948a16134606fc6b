"""A byte-level BPE of 150,000 entries for timing what counts tokens: the same seed gives the same bytes.

    .venv/bin/python benchmarks/trained_tokenizer.py

No model hub is asked. It is trained on made-up words in lines of made-up code, as often as words are in real texts,
which takes 20 s; then it lies in `benchmarks/.cache/`, and is only looked at again.
"""

import random
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from recorded_job import WORDS
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

FOLDER = Path(__file__).with_name(".cache") / "bpe-150000"
VOCABULARY = 150_000
SEED = 7
N_WORDS, N_LINES = 260_000, 260_000
SHA256 = "4da57b7529415e55765c1b98a4b6eea9fcc83bd4d12789fff948de38fbfadc1f"

# The shape that large models' pre-tokenizers have: words with what stands before them, single digits, line ends.
PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# fmt: off
ONSETS = (
    "b", "c", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z", "br", "ch", "cl", "cr",
    "dr", "fl", "gr", "pl", "pr", "qu", "sc", "sh", "sk", "sl", "sp", "st", "str", "th", "tr",
)
VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ee", "io", "oa", "ou")
CODAS = ("", "", "", "n", "r", "s", "t", "l", "m", "ck", "ng", "nt", "st", "rd")
# fmt: on


def trained_tokenizer() -> Path:
    """Return the folder of the tokenizer, made if it is not there.

    Raises:
        SystemExit: what was trained is not what was pinned: the library trains in another way now.
    """
    file = FOLDER / "tokenizer.json"
    if not file.exists() or _digest(file) != SHA256:
        FOLDER.mkdir(parents=True, exist_ok=True)
        _train().save(str(file))
    if (found := _digest(file)) != SHA256:
        raise SystemExit(f"{file} has the digest {found}, not {SHA256}: figures would not be comparable")
    return FOLDER


def _train() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(PIECES), "isolated")
    in_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, in_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=SPECIAL,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_lines(), trainer)
    return tokenizer


def _lines() -> Iterator[str]:
    rng = random.Random(SEED)
    words = _words(rng)
    for _ in range(N_LINES):
        line = [words[int(len(words) ** rng.random()) - 1] for _ in range(12)]
        call = f"self.{line[0]}_{line[1]}({line[2].title()})"
        yield f"{' '.join(line)} = {rng.randrange(1000)}; {call}\n"


def _words(rng: random.Random) -> list[str]:
    words = list(WORDS)
    while len(words) < N_WORDS:
        n_syllables = rng.choice((1, 2, 2, 3, 3, 4))
        words.append("".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(n_syllables)))
    return words


def _digest(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()


if __name__ == "__main__":
    print(trained_tokenizer())
