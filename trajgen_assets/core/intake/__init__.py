"""What comes in: manifests, task folders, their digests, and staged copies of them."""
