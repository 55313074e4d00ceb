"""What the pages show, worked out before a template writes it: words, lines, chains, the player's state."""
