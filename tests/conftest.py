"""Every test process computes on one core: the tests run two at a time, and their tensors are small."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
