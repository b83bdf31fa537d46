"""What an image looks like, in 64 bits and in a thumbnail: the same for copies of other size, depth or compression."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.fft import dctn
from scipy.stats import rankdata

HASH_SIDE = 32  # pixels that the hash is made of
BITS_SIDE = 8  # lowest frequencies in each direction
BITS = BITS_SIDE**2
THUMBNAIL_SIDE = 64


def shrunk(gray: np.ndarray, side: int) -> np.ndarray:
    """H x W values as side x side float32, each an average of what it covers."""
    image = Image.fromarray(np.ascontiguousarray(gray, dtype=np.float32))
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS))


def perceptual_hash(gray: np.ndarray) -> int:
    """The 64 bits of the DCT hash (pHash; Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions,
    2010): which of the 8 x 8 lowest frequencies of the image at 32 x 32 pixels lie above their median.

    The first frequency is the upper bit. Brightness and contrast do not matter, and inverting the grays turns nearly
    all bits over.

    Args:
        gray: H x W of any range.
    """
    frequencies = dctn(shrunk(gray, HASH_SIDE).astype(np.float64), type=2)[:BITS_SIDE, :BITS_SIDE]
    bits = (frequencies > np.median(frequencies)).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def thumbnail(gray: np.ndarray) -> np.ndarray:
    """H x W values as 64 x 64 ranks in 0..255, which hardly change with contrast; equal values share a rank."""
    ranks = rankdata(shrunk(gray, THUMBNAIL_SIDE), method="average") - 1
    ranks *= 255 / (THUMBNAIL_SIDE**2 - 1)
    return ranks.round().astype(np.uint8).reshape(THUMBNAIL_SIDE, THUMBNAIL_SIDE)
