"""One data set out of the rows of several jobs: which jobs, what of their rows is left out, and the receipt of it."""
