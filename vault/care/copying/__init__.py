"""Into a second copy: how far it is, whether it is of the same log, what is new, and putting that there."""
