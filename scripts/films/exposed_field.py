"""The exposed field of a film: what lies within a black, white or gray surround, upright or slightly turned."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .field import Field, sampled
from .resampling import thumbnail
from .straight_edges import fitted
from .surround import RING, has_flat_ring, levels, outermost, surround_of

SIDE = 128  # longest side in pixels of the picture that is looked at
SMALLEST = 16  # sides in pixels below which nothing is looked for
NOISE = 0.02  # of the picture's range: from where on noise of a surround would tear it to pieces
INNER_RING = 0.85  # share of the outermost pixels of a surround within another: tissue of one gray has less
LEAST = 0.15  # of the picture's area that a field has
BLUR = 2  # pixels
LAYERS = 3  # a film with a black border on a light box has two surrounds


def find_field(picture: np.ndarray) -> Field | None:
    """The exposed field of an upright H x W picture, or None where there is no surround around it.

    Straight edges between a surround and a film are looked for at every angle, on each side of its own; only what is
    surround is cut off.
    """
    height, width = picture.shape
    small = thumbnail(picture, SIDE)
    if min(small.shape) < SMALLEST or not has_flat_ring(small):
        return None
    low, high = np.percentile(small, (1, 99))
    small = ((small - low) / max(high - low, 1e-6)).clip(0, 1)
    smooth = ndimage.uniform_filter(small, 3).clip(0, 1)  # running sums end a hair below 0, which no histogram counts
    if np.mean(outermost(np.abs(small - smooth))) > NOISE:
        small = smooth
    found = whole = Field(0, 0, small.shape[1], small.shape[0])
    view = small
    for layer in range(LAYERS):
        inner = field_of_layer(view, inner=layer > 0)
        if inner is None or inner.width * inner.height < LEAST * small.size:
            break
        found = inner.inside(found)
        # Edges are blurred, which would hide the next surround
        view = sampled(small, Field(BLUR, BLUR, found.width - 2 * BLUR, found.height - 2 * BLUR).inside(found))
        if min(view.shape) < SMALLEST or not has_flat_ring(view):
            break
    if found is whole:
        return None
    return found.scaled(width / small.shape[1], height / small.shape[0])


def field_of_layer(picture: np.ndarray, inner: bool) -> Field | None:
    """The field within the surround of one gray, or of two, of an H x W picture in [0, 1].

    Args:
        inner: the picture is what another surround enclosed. Then one gray must be nearly all around, and edges be
            straight.
    """
    best, most = None, 0.0
    surrounds = [surround_of(picture, level) for level in levels(picture)]
    if len(surrounds) == 2 and not inner:
        surrounds.append(surrounds[0] | surrounds[1])
    for surround in surrounds:
        if outermost(surround).mean() < (INNER_RING if inner else RING):
            continue
        field = fitted(picture, ~surround, round_too=not inner)
        if field is None:
            continue
        cut = surround.size - field.width * field.height
        if cut > most:
            best, most = field, cut
    return best
