"""Recorders that speak MTP or PTP: read through libmtp in a process of its own."""
