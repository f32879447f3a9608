"""Everything that talks to Kafka: topics, clients, the transaction, reading and following."""
