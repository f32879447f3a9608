"""A broker for everyone: any Kafka that is named, one in Docker, or a real one that retold starts itself."""
