"""Evidence from outside the station: time stamps and witness cosignatures over checkpoints, asked for, kept, checked."""
