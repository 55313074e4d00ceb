"""Recordings as evidence: exhibits, chain of custody, viewings, quarantine."""
