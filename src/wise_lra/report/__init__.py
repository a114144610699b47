"""The report: one page that opens without network, of records, run folders, published numbers and data."""
