"""Measuring speed and memory: transforms, layers, training steps, the input pipeline; and the targets for them."""
