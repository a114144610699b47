"""Performer as the Long Range Arena and the authors of WISE train it: ReLU features."""

from functools import partial

from torch import Tensor, nn
from torch.nn.functional import relu

from .linear import KernelAttention


class Performer(KernelAttention):
    """Kernel attention, phi(x) = relu(x) + 0.001: LRA's default, "generalized" with deterministic features.

    Queries and keys are not scaled, and no direction is random. The Performer of the paper is `PerformerFavor`.

    Args:
        qkv_norm: LayerNorm over head_dim on query, key and value, each with weights of its own, shared by the
            heads: the form of the authors of WISE.
        d_model, length, heads, qkv_dim, dropout: see `MultiHeadAttention`; ``dropout`` has no effect.

    Raises:
        ValueError: what `MultiHeadAttention` refuses.
    """

    def __init__(
        self,
        d_model: int,
        length: int,
        heads: int,
        qkv_dim: int,
        dropout: float = 0.0,
        qkv_norm: bool = False,
    ) -> None:
        super().__init__(d_model, length, heads, qkv_dim, dropout)
        norm = partial(nn.LayerNorm, qkv_dim // heads, 1e-6) if qkv_norm else nn.Identity
        self.norms = nn.ModuleList(norm() for _ in range(3))

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:  # noqa: D102
        query, key, value = (norm(t) for norm, t in zip(self.norms, (query, key, value), strict=True))
        return super().attend(query, key, value, mask)

    def log_features(self, x: Tensor) -> Tensor:
        """Return log(relu(x) + 0.001)."""
        return (relu(x) + 0.001).log()
