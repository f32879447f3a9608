"""An event's causes and consequences."""
