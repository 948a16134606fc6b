"""What a tokenizer alone needs for the texts of rows: what a conversion with it is held against.

    .venv/bin/python benchmarks/tokenizer_alone.py TEXTS TOKENIZER plain|fast

`plain` gives the library whole rows in batches of 64, as converters do that ask for all that an encoding has. `fast`
asks for tokens alone, without their places, the quickest way that the library has for whole texts. Both on all cores.
TEXTS is a JSON array. Reading it is not timed; reading the tokenizer is, as each conversion has to.
"""

import json
import os
import sys
import time
from pathlib import Path

import psutil
from tokenizers import Tokenizer

from trajgen_assets.core.paths import JobPaths
from trajgen_assets.core.sft.im import read_im
from trajgen_assets.core.sft.receipt import SftPaths
from trajgen_assets.core.sft.tokens.rendering import rendered
from trajgen_assets.core.sft.tokens.source import find_tokenizer
from trajgen_assets.core.sft.tokens.template import ChatTemplate

BATCH = 64


def write_texts(job: JobPaths, tokenizer: Path, out: Path) -> float:
    """Write the texts that a conversion counts, and return their megabytes."""
    template = ChatTemplate.of(find_tokenizer(str(tokenizer)))
    texts = [rendered(im, template) for im in read_im(SftPaths(job.sft).im)]
    out.write_text(json.dumps(texts))
    return sum(len(text.encode()) for text in texts) / 1e6


def main() -> None:
    """Encode, and print seconds, CPU seconds, rows, and what the tokenizer itself takes of memory."""
    texts_file, folder, way = sys.argv[1:]
    texts: list[str] = json.loads(Path(texts_file).read_bytes())
    before_bytes = psutil.Process().memory_info().rss
    began_s, began_cpu_s = time.perf_counter(), sum(os.times()[:4])
    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    own_bytes = psutil.Process().memory_info().rss - before_bytes
    encode = tokenizer.encode_batch if way == "plain" else tokenizer.encode_batch_fast
    for at in range(0, len(texts), BATCH):
        encode(texts[at : at + BATCH], add_special_tokens=False)
    took = {"wall_s": time.perf_counter() - began_s, "cpu_s": sum(os.times()[:4]) - began_cpu_s}
    print(json.dumps(took | {"n_rows": len(texts), "peak_mb": own_bytes / 1e6}))


if __name__ == "__main__":
    main()
