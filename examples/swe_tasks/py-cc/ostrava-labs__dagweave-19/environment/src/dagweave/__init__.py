"""Incremental build graphs."""

from dagweave.errors import CycleError, GraphError, UnknownNodeError
from dagweave.graph import Graph

__all__ = ["CycleError", "Graph", "GraphError", "UnknownNodeError"]
