"""Checkouts of other repositories that this platform keeps at a pin: looked at, brought to it, and kept from change."""
