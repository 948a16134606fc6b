"""The deterministic score of a row: what it is computed from, its rules as data, its parts, and their weighted mean."""
