"""Whether a recorded past is whole and unaltered."""
