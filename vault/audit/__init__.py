"""The independent verifier: a bare vault directory in, a yes or a no that names what is wrong out."""
