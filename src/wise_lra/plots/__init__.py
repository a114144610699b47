"""Figures: what is measured of a wavelet bank, and how it, costs and learning curves are drawn."""
