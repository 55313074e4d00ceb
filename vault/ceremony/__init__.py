"""Key ceremonies: rotating, handing over and giving up keys, each with its entry on the log."""
