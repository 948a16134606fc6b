"""The pinned converter `swe_data_process` in the place of the built-in one: the same assets, by its own modules."""
