"""Evidence: records of runs, published numbers, intervals and the tables of these. Needs no torch."""
