"""Files of events: JSON lines, CSV, TSV and Avro, read row by row; every mistake is named by its line and column."""
