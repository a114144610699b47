"""Softmax attention, the reference that every other attention approximates."""

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from .attention import MultiHeadAttention


class SoftmaxAttention(MultiHeadAttention):
    """softmax(Q K^T / sqrt(head_dim)) V over the real tokens (Vaswani et al. 2017, section 3.2.1).

    Quadratic in length. PyTorch chooses the kernel. Arguments: see `MultiHeadAttention`.
    """

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:  # noqa: D102
        allowed = None if mask is None else mask[:, None, None, :]
        return scaled_dot_product_attention(query, key, value, allowed, self.dropout_now)
