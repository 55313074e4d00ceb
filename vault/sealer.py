"""The sealer: makes what is sealed immutable, and carries out logged disposals."""
