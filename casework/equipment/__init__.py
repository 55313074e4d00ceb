"""Recorders, the issue ledger, and what docking sessions tell casework."""
