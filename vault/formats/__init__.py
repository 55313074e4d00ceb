"""What an outsider parses: published formats, implemented exactly, without a database or settings."""
