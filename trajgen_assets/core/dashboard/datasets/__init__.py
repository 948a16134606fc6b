"""Training data as its page shows it: a job's own, or a data set that was joined of several jobs'."""
