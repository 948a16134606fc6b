"""One job: a batch of tasks rolled out by one Harbor process, settled trial by trial into the ledger."""
