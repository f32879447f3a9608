"""`python -m streams.cli`, where the command is not on the path."""

from streams.cli import main

main()
