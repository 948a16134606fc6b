"""The graph and its evaluation on demand."""

from dagweave.errors import CycleError, GraphError, UnknownNodeError
from dagweave.node import Node


class Graph:
    """Sources, steps, and the values they have at the current revision."""

    def __init__(self):
        self._nodes = {}
        self._revision = 1

    def source(self, name, value):
        """Declare a node whose value is set from outside."""
        self._declare(Node(name, value=value, changed_at=self._revision))

    def step(self, name, inputs, function):
        """Declare a node that is computed from others, which may be declared later."""
        self._declare(Node(name, list(inputs), function))

    def set(self, name, value):
        """Give a source a new value. Setting an equal value changes nothing."""
        node = self._node(name)
        if not node.is_source:
            raise GraphError(f"{name} is a step, it cannot be set")
        if node.value != value:
            self._revision += 1
            node.value, node.changed_at = value, self._revision

    def value(self, name):
        """Return the value of a node at the current revision; runs what has to run."""
        return self._refresh(name, ()).value

    def n_runs(self, name):
        """How often a step has run so far."""
        return self._node(name).n_runs

    def _refresh(self, name, trail):
        if name in trail:
            raise CycleError([*trail[trail.index(name):], name])
        node = self._node(name)
        if node.is_source or node.checked_at == self._revision:
            return node
        inputs = [self._refresh(each, (*trail, name)) for each in node.inputs]
        if node.n_runs == 0 or any(each.changed_at > node.checked_at for each in inputs):
            self._run(node, inputs)
        node.checked_at = self._revision
        return node

    def _run(self, node, inputs):
        value = node.function(*[each.value for each in inputs])
        if node.n_runs == 0 or value != node.value:
            node.value, node.changed_at = value, self._revision
        node.n_runs += 1

    def _declare(self, node):
        if node.name in self._nodes:
            raise GraphError(f"{node.name} is declared twice")
        self._nodes[node.name] = node

    def _node(self, name):
        try:
            return self._nodes[name]
        except KeyError:
            raise UnknownNodeError(name) from None
