"""The attentions at sizes that tests of numerics can afford."""

from collections.abc import Callable
from functools import partial

from torch import nn

from wise_lra.mixers import (
    LinearAttention,
    Linformer,
    Longformer,
    Performer,
    PerformerFavor,
    SoftmaxAttention,
)

CHANNELS = 6
HEADS = {"heads": 2, "qkv_dim": 8}
ATTENTIONS: dict[str, Callable[..., nn.Module]] = {
    "softmax": partial(SoftmaxAttention, **HEADS),
    "linear": partial(LinearAttention, **HEADS),
    "linformer": partial(Linformer, **HEADS, rank=8),
    "performer": partial(Performer, **HEADS),
    "performer_wise": partial(Performer, **HEADS, qkv_norm=True),
    "performer_favor": partial(PerformerFavor, **HEADS, features=16),
    "longformer": partial(Longformer, **HEADS, window=6),
    "longformer_lra": partial(Longformer, **HEADS, window=6, symmetric=False),
}
