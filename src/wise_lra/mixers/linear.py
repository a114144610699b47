"""Linear attention: a kernel in place of the softmax, so that the sums over keys are shared by all queries."""

import math
from abc import abstractmethod

from torch import Tensor, autocast
from torch.nn.functional import relu

from .attention import MultiHeadAttention, full_precision


class KernelAttention(MultiHeadAttention):
    """Attention with weights phi(q_i) . phi(k_j), normalised over the real tokens j; a subclass adds phi.

    Linear in length, computed in float32. Arguments: see `MultiHeadAttention`; ``dropout`` has no effect.
    """

    @abstractmethod
    def log_features(self, x: Tensor) -> Tensor:
        """Return log(phi(x)), (batch, heads, length, features), of (batch, heads, length, head_dim)."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:  # noqa: D102
        with autocast(query.device.type, enabled=False):
            query, key = (self.log_features(full_precision(t)) for t in (query, key))
            return kernel_attention(query, key, full_precision(value), mask).to(value.dtype)


class LinearAttention(KernelAttention):
    """Kernel attention, phi(x) = elu(x) + 1 (Katharopoulos et al. 2020, "Transformers are RNNs", section 3.2).

    Arguments: see `MultiHeadAttention`; ``dropout`` has no effect.
    """

    def log_features(self, x: Tensor) -> Tensor:
        """Return log(elu(x) + 1), which is x below 0 and log(1 + x) above."""
        return x.clamp_max(0) + relu(x).log1p()


def kernel_attention(log_query: Tensor, log_key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Return sum_j w_ij v_j / sum_j w_ij, w_ij = exp(log_query_i) . exp(log_key_j), over the real tokens j.

    Linear in length, exact, and safe for features of any size: each feature of the keys is divided by its largest
    value, the queries make up for it, and each query is divided by its largest feature, which cancels. So nothing
    exceeds 1 before it is summed, and no denominator is below 1.

    Args:
        log_query, log_key: logarithms of positive features, (batch, heads, length, features).
        value: (batch, heads, length, head_dim).
        mask: (batch, length), bool, with a True in every row; or None.

    Returns:
        (batch, heads, length, head_dim)
    """
    if mask is not None:
        log_key = log_key.masked_fill(~mask[:, None, :, None], -math.inf)
    largest = log_key.detach().amax(dim=2, keepdim=True)
    key = (log_key - largest).exp()
    log_query = log_query + largest
    query = (log_query - log_query.detach().amax(dim=3, keepdim=True)).exp()
    total = query @ key.sum(dim=2).unsqueeze(-1)
    return query @ (key.transpose(2, 3) @ value) / total
