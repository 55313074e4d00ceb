"""How long footage is kept, why, and what goes."""
