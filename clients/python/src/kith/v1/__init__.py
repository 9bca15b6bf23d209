"""The messages and stubs of the protocol, generated."""
