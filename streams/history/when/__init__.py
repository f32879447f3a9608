"""Since when something holds of a row."""
