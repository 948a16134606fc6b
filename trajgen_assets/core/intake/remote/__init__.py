"""Task sources that are not on this host: downloaded whole, verified, and only then a folder like any other."""
