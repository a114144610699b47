"""Linformer: softmax attention on keys and values compressed along the length."""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from .attention import MultiHeadAttention


class Linformer(MultiHeadAttention):
    """softmax(Q (E^T K)^T / sqrt(head_dim)) E^T V, with E (length, rank) learned (Wang et al. 2020, section 4).

    Linear in length. One E serves the keys and the values of all heads of a layer (the paper's "key-value sharing",
    and what Long Range Arena does); layers, and bands, have their own. Padded positions are zeroed before the
    projection, so they add nothing; unlike a mask this does not renormalise the weights. A shorter input is as one
    padded to the full length.

    Args:
        rank: length of the compressed keys and values; cut to ``length`` where it is greater.
        d_model, length, heads, qkv_dim, dropout: see `MultiHeadAttention`.

    Raises:
        ValueError: ``rank`` is not positive, an input is longer than the layer was built for, or what
            `MultiHeadAttention` refuses.
    """

    def __init__(
        self, d_model: int, length: int, heads: int, qkv_dim: int, dropout: float = 0.0, rank: int = 128
    ) -> None:
        super().__init__(d_model, length, heads, qkv_dim, dropout)
        if rank < 1:
            raise ValueError(f"rank={rank}: expected a positive integer")
        self.compress = nn.Parameter(nn.init.xavier_uniform_(torch.empty(length, min(rank, length))))

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:  # noqa: D102
        if key.shape[2] > self.length:
            raise ValueError(
                f"input of length {key.shape[2]}: this Linformer was built for length={self.length} at most"
            )
        if mask is not None:
            key, value = (t.masked_fill(~mask[:, None, :, None], 0.0) for t in (key, value))
        compress = self.compress[: key.shape[2]].mT
        key, value = compress @ key, compress @ value
        return scaled_dot_product_attention(query, key, value, None, self.dropout_now)
