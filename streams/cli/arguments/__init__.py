"""What is typed: how arguments are read, and what they name."""
