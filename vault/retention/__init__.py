"""How long footage is kept, what holds it, and the only way it is ever disposed of."""
