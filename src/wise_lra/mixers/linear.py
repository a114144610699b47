"""Linear attention: a kernel in place of the softmax, so that the sums over keys are shared by all queries."""

import torch
from torch import Tensor
from torch.nn.functional import elu

from .attention import MultiHeadAttention, full_precision


class LinearAttention(MultiHeadAttention):
    """Attention with weights phi(q_i) . phi(k_j), phi(x) = elu(x) + 1, normalised over the real tokens j.

    Linear in length (Katharopoulos et al. 2020, "Transformers are RNNs", section 3.2, without causality).
    Computed in float32. Arguments: see `MultiHeadAttention`; ``dropout`` has no effect.
    """

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:  # noqa: D102
        with torch.autocast(query.device.type, enabled=False):
            query, key, value = (full_precision(t) for t in (query, key, value))
            return kernel_attention(elu(query) + 1, elu(key) + 1, value, mask).to(value.dtype)


def kernel_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Return sum_j (q_i . k_j) v_j / sum_j (q_i . k_j) over the real tokens j, in time linear in length.

    Args:
        query, key: non-negative features, (batch, heads, length, features).
        value: (batch, heads, length, head_dim).
        mask: (batch, length), bool, or None.

    Returns:
        (batch, heads, length, head_dim); a query whose weights are all 0 gives 0.
    """
    if mask is not None:
        key = key.masked_fill(~mask[:, None, :, None], 0.0)
    total = query @ key.sum(dim=2).unsqueeze(-1)
    return query @ (key.transpose(2, 3) @ value) / total.clamp_min(1e-6)
