"""The log: signed submissions in, entries with receipts out, and their index in the database."""
