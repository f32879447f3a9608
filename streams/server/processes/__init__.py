"""Several HTTP processes that answer as one server: what they share, and who owns it."""
