"""A stand-in for a checkout of OpenHands 0.62 with its Multi-SWE-bench harness.

`tree/` becomes a git repository, `site/` what an environment has installed beside it. Both are programs of the standard
library alone, written from the outside of the real ones: flags, variables, output folders and files, resume and
failures are theirs. Model calls are real HTTP to the address of `config.toml`; commands run in a folder and in no
container.
A row's column `stand_in` asks for what goes wrong (`tree/evaluation/benchmarks/multi_swe_bench/run_infer.py`).
"""
