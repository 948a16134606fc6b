"""Scores that a model gives rows, if asked to: by a fixed list of checks, or by one made for each task."""
