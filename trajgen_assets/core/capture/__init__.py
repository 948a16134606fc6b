"""The record of every model call: the proxy that makes it, and the verdict on whether it is whole."""
