"""The length of rows by a tokenizer: the tokens of the text that its chat template makes of them."""

from dataclasses import dataclass
from functools import lru_cache

from trajgen_assets.core.sft.messages import Json
from trajgen_assets.core.sft.tokens.counter import TokenCounter
from trajgen_assets.core.sft.tokens.rendering import rendered
from trajgen_assets.core.sft.tokens.source import TokenizerFiles
from trajgen_assets.core.sft.tokens.template import ChatTemplate


@dataclass(frozen=True)
class TokenizerRuler:
    """Measures rows by a tokenizer and its chat template; `Ruler` says how."""

    counter: TokenCounter
    template: ChatTemplate

    @classmethod
    @lru_cache(maxsize=1)
    def of(cls, files: TokenizerFiles) -> "TokenizerRuler":
        """Read a tokenizer, once.

        Raises:
            ConversionError: it or its template cannot be read.
        """
        return cls(TokenCounter.of(files.tokenizer), ChatTemplate.of(files))

    def n_tokens(self, row: Json) -> int:
        """Return the tokens of an IM row.

        Raises:
            RefusedByTemplateError: the template does not write it.
        """
        return self.counter.count(rendered(row, self.template))
