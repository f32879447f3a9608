"""What is run beside the product: the demonstration and the benchmark."""
