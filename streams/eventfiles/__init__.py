"""Files of events: JSON lines, CSV, TSV and Avro, read row by row; errors name the line and the column."""
