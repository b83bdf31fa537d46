"""DICOM values as the detector measured them, and what is said of those that are shown (PS3.3 C.8.11.3.1.2)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from .dicom_writing import CR, DX_FOR_PRESENTATION, DX_FOR_PROCESSING, stored, write_dicom
from .forms import FORMS, Variant
from .forms_windows import TOP
from .geometry import Film


def for_processing(
    relation: str, sign: int, photometric: str, film: Film, rng: np.random.Generator, path: Path
) -> Variant:
    """What the detector measured, linear or logarithmic; sign 1: lower values are less intensity (C.8.11.3.1.2)."""
    strength = float(rng.uniform(2.5, 4.5))  # attenuation between the brightest and the darkest place, e-fold
    intensity = np.exp(-strength * film.image)
    measured = intensity if relation == "LIN" else 1 + np.log(intensity) / strength
    measured = measured if sign > 0 else measured.max() - measured
    top, bottom = 2 ** int(rng.choice([12, 14, 16])) - 1, float(rng.uniform(0, 0.08))
    pixels = np.round((bottom + measured * (0.98 - bottom)) * top).astype(np.uint16)
    tags: dict[str, object] = {"PixelIntensityRelationship": relation, "PixelIntensityRelationshipSign": sign}
    bits, sop_class = int(top).bit_length(), DX_FOR_PROCESSING
    if rng.random() < 0.3:  # some CR readers say the same of theirs
        sop_class, tags["PresentationIntentType"] = CR, "FOR PROCESSING"
    written = write_dicom(path, pixels, tags, bits=bits, photometric=photometric, sop_class=sop_class)
    return Variant(written, film, f"e^{strength:.1f} in {bits} bits, {'CR' if sop_class == CR else 'DX'}")


for relation in ("LIN", "LOG"):
    for sign in (1, -1):
        for number in (1, 2):
            name = f"for_processing_{relation.lower()}{'_minus' if sign < 0 else ''}_{number}"
            FORMS.add(name, "values", partial(for_processing, relation, sign, f"MONOCHROME{number}"))


@FORMS.form("presentation_relationship", "values")
def presentation_relationship(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """FOR PRESENTATION: how values came from intensities is said, and no reason to invert what is shown as it is."""
    relation, sign = str(rng.choice(["LIN", "LOG", "DISP"])), int(rng.choice([1, -1]))
    pixels, photometric, shape = stored(film.image), "MONOCHROME2", "IDENTITY"
    if rng.random() < 0.5:
        pixels, photometric, shape = TOP - pixels, "MONOCHROME1", "INVERSE"
    tags = {
        "PixelIntensityRelationship": relation,
        "PixelIntensityRelationshipSign": sign,
        "PresentationLUTShape": shape,
    }
    written = write_dicom(path, pixels, tags, photometric=photometric, sop_class=DX_FOR_PRESENTATION)
    return Variant(written, film, f"{relation} {sign} {photometric}")
