"""What people type: read, cleaned, bounded, and given back as it was when it is wrong."""
