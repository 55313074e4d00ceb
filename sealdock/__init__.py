"""The program: it wires the packages together, and nothing imports it."""
