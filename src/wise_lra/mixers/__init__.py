"""Mixers: modules that map (batch, length, d_model) to the same shape, one file each."""

from .fourier import FourierAttention, FourierMixer
from .linear import LinearAttention
from .linformer import Linformer
from .longformer import Longformer
from .mixer import Mixer, MixerFactory
from .performer import Performer
from .performer_favor import PerformerFavor
from .softmax import SoftmaxAttention
from .wavelet_space import WaveletSpace

__all__ = [
    "FourierAttention",
    "FourierMixer",
    "LinearAttention",
    "Linformer",
    "Longformer",
    "Mixer",
    "MixerFactory",
    "Performer",
    "PerformerFavor",
    "SoftmaxAttention",
    "WaveletSpace",
]
