"""The read model: what the server keeps in memory of Kafka's topics, and how it follows them. It knows no HTTP."""
