"""What operators and programs see."""
