"""What would have happened: a past with a change, decided again."""
