"""Evidence: records of runs, published numbers, intervals and tables made of nothing else. Needs no torch."""
