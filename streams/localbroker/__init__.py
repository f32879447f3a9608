"""Finds or starts a broker: the Kafka that a setting names, one in Docker, or an embedded one."""
