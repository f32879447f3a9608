"""One module for each command: its options and what it does. A module with a longer name is a part of that command."""
