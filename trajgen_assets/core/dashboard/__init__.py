"""The dashboard: a folder of static pages about a root, made of what its ledger and disk say and of nothing else."""
