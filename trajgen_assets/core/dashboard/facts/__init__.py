"""What pages show, read from the ledger and the disk: frozen, one job at a time, and unknown where it is unknown."""
