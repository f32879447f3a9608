"""Processes: their start, end, exit codes and log, and the broker that they find."""
