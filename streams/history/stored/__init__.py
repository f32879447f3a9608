"""A past in the file of a server, or in an exported one."""
