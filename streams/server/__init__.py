"""The server: tables, projections, views and event logs over HTTP, and publishing of events."""
