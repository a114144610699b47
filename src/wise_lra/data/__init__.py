"""The five tasks of the Long Range Arena: facts, sources, generators, packed files and batches."""
