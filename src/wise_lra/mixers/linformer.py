"""Linformer: softmax attention on keys and values compressed along the length."""

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from .attention import MultiHeadAttention
from .mixer import zero_padding


class Linformer(MultiHeadAttention):
    """softmax(Q (E^T K)^T / sqrt(head_dim)) E^T V, with E (length, rank) learned (Wang et al. 2020, section 4).

    Linear in length. One E serves the keys and the values of all heads of a layer (the paper's "key-value sharing",
    and what Long Range Arena does); layers, and bands, have their own. Padded positions are zeroed before the
    projection, so they add nothing; unlike a mask this does not renormalise the weights.

    Args:
        rank: length of the compressed keys and values; cut to ``length`` where it is greater.
        d_model, length, heads, qkv_dim, dropout: see `MultiHeadAttention`.

    Raises:
        ValueError: ``rank`` is not positive, or an input has another length than the layer was built for.
    """

    def __init__(
        self, d_model: int, length: int, heads: int, qkv_dim: int, dropout: float = 0.0, rank: int = 128
    ) -> None:
        super().__init__(d_model, length, heads, qkv_dim, dropout)
        if rank < 1:
            raise ValueError(f"rank={rank}: expected a positive integer")
        self.compress = nn.Parameter(nn.init.xavier_uniform_(torch.empty(length, min(rank, length))))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``x`` (batch, length, d_model) to the same shape; see `Mixer`."""
        if x.shape[1] != self.length:
            raise ValueError(
                f"input of length {x.shape[1]}: this Linformer was built for length={self.length}"
            )
        return super().forward(x, mask)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:  # noqa: D102
        ...
