"""`python -m sealdock` is the same as `sealdock`."""

from sealdock.cli import main

main()
