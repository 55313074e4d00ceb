"""The kernel: what two packages or more need and that knows nothing of evidence."""
