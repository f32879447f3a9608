"""Processes that answer questions with the application's own code, and are ended when they take too long."""
