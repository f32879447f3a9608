"""The Kafka adapter: topics, clients, transactions and readers."""
