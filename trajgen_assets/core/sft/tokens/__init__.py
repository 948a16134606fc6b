"""The length of rows in tokens, and rows as a tokenizer's chat template writes them."""


class RefusedByTemplateError(ValueError):
    """A chat template does not write a conversation, or not in the form that is needed; the text says why."""
