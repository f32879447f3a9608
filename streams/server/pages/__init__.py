"""The console: the answers of the API as pages for people, at the same addresses."""
