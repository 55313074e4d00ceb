"""One module per group of commands; each turns words into calls and results into lines and exit codes."""
