"""Applications that tests run: the bank and the shop, each with its schemas, its generated events and its handlers."""
