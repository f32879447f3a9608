"""The pure core: it knows no Kafka, no clock, no Faust and no files."""
