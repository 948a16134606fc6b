"""Exceptions of dagweave."""


class GraphError(Exception):
    """Base class."""


class UnknownNodeError(GraphError, KeyError):
    """A node that was never declared."""


class CycleError(GraphError):
    """Steps that depend on each other."""

    def __init__(self, path):
        self.path = list(path)
        super().__init__(" -> ".join(self.path))
