"""The worker: a Faust application that handles whole batches, each committed as one Kafka transaction."""
