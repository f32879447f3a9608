"""Schemas: `.avsc` files in, frozen classes, ids and a lock out."""
