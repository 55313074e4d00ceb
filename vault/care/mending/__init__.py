"""What a repair rests on: the tree that proves itself, what the log gave up, and the exchange of one file."""
