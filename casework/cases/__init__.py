"""Cases: what the footage is evidence in."""
