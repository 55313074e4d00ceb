"""The disclosure package: what lies in it, how it is built, and how it is checked."""
