"""From the bay to the receipt: docking sessions, recordings, and the dock's daemon."""
