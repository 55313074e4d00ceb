"""Evidence from outside: time stamps and cosignatures over checkpoints, asked for, kept and checked."""
