"""Handlers that decide again: of this tree, of another one in a process, or what was recorded."""
