"""The order that TensorFlow Datasets gives to examples: by the MD5 of the split's name and the example's key.

LRA cuts Image and Pathfinder by position in this order, so it decides which examples validate.
Source: tensorflow-datasets 4.9, core/hashing.py and core/shuffle.py.
"""

import hashlib
from collections.abc import Iterable


def tfds_order(split: str, keys: Iterable[str]) -> list[int]:
    """Return the indices of the keys in the order in which that split holds their examples."""
    salted = hashlib.md5(split.encode())

    def digest(key: str) -> bytes:
        own = salted.copy()
        own.update(key.encode())
        return own.digest()

    digests = [digest(key) for key in keys]
    return sorted(range(len(digests)), key=digests.__getitem__)
