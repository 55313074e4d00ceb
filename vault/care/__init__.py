"""Looking after what is sealed: scrubbing, repair, room, backup and restore."""
