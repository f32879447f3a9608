"""What differs between two pasts, or between two codes over one past."""
