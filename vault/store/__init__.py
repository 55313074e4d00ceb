"""Bytes at rest: the vault directory, sealing into it, reading from it, keys of buckets, derivatives."""
