"""Longformer: softmax attention within a sliding window."""

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from .attention import MultiHeadAttention


class Longformer(MultiHeadAttention):
    """Every position attends to itself and to those at most window / 2 away (Beltagy et al. 2020, section 3.1).

    Time and memory are linear in length: the sequence is cut into chunks of window / 2, and the queries of a chunk
    see three chunks of keys, of which a mask leaves the band. No position is global, as in Long Range Arena's code.

    Args:
        window: positions seen around a position, itself not counted; even.
        symmetric: False leaves out the position window / 2 before, as the code of LRA and of the authors of WISE.
        d_model, length, heads, qkv_dim, dropout: see `MultiHeadAttention`.

    Raises:
        ValueError: ``window`` is odd or below 2, or what `MultiHeadAttention` refuses.
    """

    def __init__(
        self,
        d_model: int,
        length: int,
        heads: int,
        qkv_dim: int,
        dropout: float = 0.0,
        window: int = 512,
        symmetric: bool = True,
    ) -> None:
        super().__init__(d_model, length, heads, qkv_dim, dropout)
        if window < 2 or window % 2:
            raise ValueError(f"window={window}: expected an even number, 2 or more")
        self.reach = window // 2
        self.before = self.reach if symmetric else self.reach - 1

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:  # noqa: D102
        length, reach = query.shape[2], self.reach
        if mask is None:
            mask = torch.ones(1, length, dtype=torch.bool, device=query.device)
        if length <= 3 * reach:  # three chunks or fewer: nothing to be saved
            place = torch.arange(length, device=query.device)
            allowed = self._within(place - place[:, None], mask[:, None, None, :])
            return scaled_dot_product_attention(query, key, value, allowed, self.dropout_now)
        chunks = -(-length // reach)
        spare = chunks * reach - length
        query = pad(query, (0, 0, 0, spare)).unflatten(2, (chunks, reach)).transpose(1, 2).flatten(0, 1)
        key, value = (_around(t, reach, spare).flatten(0, 1) for t in (key, value))
        place = torch.arange(reach, device=query.device)[:, None]
        offset = torch.arange(-reach, 2 * reach, device=query.device) - place
        real = pad(mask, (reach, reach + spare)).unfold(1, 3 * reach, reach)[:, :, None, None, :]
        allowed = self._within(offset, real).expand(len(query) // chunks, -1, -1, -1, -1).flatten(0, 1)
        mixed = scaled_dot_product_attention(query, key, value, allowed, self.dropout_now)
        return mixed.unflatten(0, (-1, chunks)).transpose(1, 2).flatten(2, 3)[:, :, :length]

    def _within(self, offset: Tensor, real: Tensor) -> Tensor:
        """Return True for real keys in the window, and for a position itself: no row is empty.

        ``offset`` is the place of the key less that of the query.
        """
        return ((offset >= -self.before) & (offset <= self.reach) & real) | (offset == 0)


def _around(x: Tensor, reach: int, spare: int) -> Tensor:
    """Return every chunk with its two neighbours: (batch, chunks, heads, 3 * reach, head_dim)."""
    return pad(x, (0, 0, reach, reach + spare)).unfold(2, 3 * reach, reach).permute(0, 2, 1, 4, 3)
