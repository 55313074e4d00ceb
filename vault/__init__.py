"""The vault: sealed objects, an append-only signed log, their keys, and the proof that nothing was altered."""
