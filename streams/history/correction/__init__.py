"""Corrections of the recorded past: what they would change, and the steps that bring it to the rows of the present."""
