"""A tokenizer of a few hundred entries, trained here, so that nothing is fetched."""

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

# The usual shape: words with what stands before them, digits one by one, line ends with the space before them.
WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEXTS = [
    "def add(a, b):\n    return a + b\n\n\nclass Calculator:\n    def __init__(self) -> None:\n        self.n = 0\n",
    "The solution returns the sum of both numbers, and the tests pass.\n",
]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def trained(vocabulary: int = 400) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, initial_alphabet=alphabet, special_tokens=SPECIAL, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def joining() -> Tokenizer:
    """One whose tokens reach over line ends, as those of SentencePiece may."""
    tokenizer = Tokenizer(models.BPE({"a": 0, "\n": 1, "\na": 2, "b": 3}, [("\n", "a")]))
    tokenizer.add_special_tokens([AddedToken("<|im_end|>", lstrip=False)])
    return tokenizer
