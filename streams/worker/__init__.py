"""The worker: a Faust application fed whole batches, each committed as one Kafka transaction."""
