"""Performer of the paper: softmax attention estimated by random features, in time linear in length."""

import torch
from torch import Tensor

from .linear import KernelAttention


class PerformerFavor(KernelAttention):
    """FAVOR+ (Choromanski et al. 2021, "Rethinking Attention with Performers", sections 2.3 and 2.4).

    exp(q . k), q and k divided by head_dim^(1/4), is the mean over random directions w of
    exp(w . q - |q|^2 / 2) exp(w . k - |k|^2 / 2): positive features. The directions are orthogonal in blocks of
    head_dim, drawn from torch's generator at construction, the same for all heads, and kept with the weights.

    Args:
        features: number of directions. The variance of the estimate of one exp(q . k), as a share of its square, is
            about (exp(|q + k|^2) - 1) / features (lemma 2): few directions are enough for small queries and keys,
            no affordable number is for large ones.
        d_model, length, heads, qkv_dim, dropout: see `MultiHeadAttention`; ``dropout`` has no effect.

    Raises:
        ValueError: ``features`` is not positive, or what `MultiHeadAttention` refuses.
    """

    directions: Tensor

    def __init__(
        self, d_model: int, length: int, heads: int, qkv_dim: int, dropout: float = 0.0, features: int = 256
    ) -> None:
        super().__init__(d_model, length, heads, qkv_dim, dropout)
        if features < 1:
            raise ValueError(f"features={features}: expected a positive integer")
        self.register_buffer("directions", orthogonal_directions(features, qkv_dim // heads))

    def log_features(self, x: Tensor) -> Tensor:
        """Return w . x - |x|^2 / 2 for every direction w, x divided by head_dim^(1/4)."""
        x = x * x.shape[-1] ** -0.25  # so that q . k is divided by sqrt(head_dim)
        return x @ self.directions.to(x.dtype).mT - x.square().sum(dim=-1, keepdim=True) / 2


def orthogonal_directions(count: int, dim: int) -> Tensor:
    """Return (count, dim): rows distributed as N(0, I) each, orthogonal within every block of ``dim``."""
    blocks = []
    for _ in range(-(-count // dim)):
        orthogonal, triangle = torch.linalg.qr(torch.randn(dim, dim))
        # QR alone is not uniform over the rotations; the signs make it so (Mezzadri 2007, section 5).
        blocks.append((orthogonal * triangle.diagonal().sign()).mT)
    norms = torch.randn(count, dim).norm(dim=1, keepdim=True)
    return torch.cat(blocks)[:count] * norms
