"""Recorders that unlock over a serial line: what a profile says of the exchange, and the exchange itself."""
