"""The frame that the attentions share: projections to heads, a rule that mixes them, projection back."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class MultiHeadAttention(nn.Module, ABC):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2.2); a subclass adds the rule, `attend`.

    The projections have no bias, so a zero position has zero query, key and value.

    Args:
        d_model: channels of input and output.
        length: positions the layer is built for, at most; only Linformer is bound to it.
        heads: number of heads; must divide ``qkv_dim``.
        qkv_dim: channels of query, key and value, all heads together.
        dropout: probability of dropping an attention weight in training. Linear attention and Performer never
            form the weights, and so drop nothing.

    Raises:
        ValueError: ``heads`` does not divide ``qkv_dim``, a size is not positive or ``dropout`` is outside [0, 1).
    """

    def __init__(self, d_model: int, length: int, heads: int, qkv_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        for name, size in {"d_model": d_model, "length": length, "heads": heads, "qkv_dim": qkv_dim}.items():
            if size < 1:
                raise ValueError(f"{name}={size}: expected a positive integer")
        if qkv_dim % heads:
            raise ValueError(f"heads={heads} does not divide qkv_dim={qkv_dim}: change one of them")
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout={dropout}: expected a probability in [0, 1)")
        self.length = length
        self.heads = heads
        self.dropout = dropout
        self.qkv = nn.Linear(d_model, 3 * qkv_dim, bias=False)  # one product is faster than three
        self.output = nn.Linear(qkv_dim, d_model, bias=False)
        for weight in (*self.qkv.weight.chunk(3), self.output.weight):
            nn.init.xavier_uniform_(weight)

    @abstractmethod
    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Mix the values.

        Args:
            query, key, value: (batch, heads, length, head_dim).
            mask: (batch, length), bool, with at least one True in every row; or None.

        Returns:
            (batch, heads, length, head_dim)
        """

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``x`` (batch, length, d_model) to the same shape; see `Mixer`."""
        if mask is not None:
            mask = mask | ~mask.any(dim=1, keepdim=True)  # an empty row attends to itself: never 0 / 0
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = self.attend(query, key, value, mask)
        return self.output(mixed.transpose(1, 2).flatten(2))

    @property
    def dropout_now(self) -> float:
        """The dropout that applies in the present mode: none in evaluation."""
        return self.dropout if self.training else 0.0


def full_precision(x: Tensor) -> Tensor:
    """Return ``x`` as float32, or unchanged where it is wider: for sums over thousands of positions."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
