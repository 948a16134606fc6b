"""What people look at afterwards: the run archive and its index."""
