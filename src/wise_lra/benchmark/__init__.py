"""Measuring speed and memory of transforms, layers, training steps and the input pipeline, against targets."""
