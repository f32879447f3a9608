"""The read side: tables, projections, views and event logs over HTTP, and a door for events."""
