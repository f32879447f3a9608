"""The recorded past: what was handled, in one order, and what can be asked of it. It knows no Kafka: records are handed to it."""
