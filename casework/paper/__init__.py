"""What a person keeps on paper: receipts, pieces for a reader of codes, the day's page, the uncovered window."""
