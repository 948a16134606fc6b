"""The state of a root as one file, for moving to another host: what nothing else could make again."""
