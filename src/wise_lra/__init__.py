"""Attention learned in wavelet space (WISE), measured on the Long Range Arena."""

__version__ = "0.1.0"
