"""Questions to a table: filters, an order, pages, counts and facets. Pure: what answers them in SQL must answer alike."""
