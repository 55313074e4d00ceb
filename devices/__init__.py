"""Recorders as things that come, can be recognised and read, and go; nothing here writes to one."""
