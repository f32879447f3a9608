"""Schemas: from `.avsc` files to frozen classes, ids and a lock."""
