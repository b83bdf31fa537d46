"""How the numbers of a DICOM file were written (PS3.5, 7.1 and 7.3)."""

from __future__ import annotations


def written_encoding(dataset) -> tuple[bool, bool]:
    """Whether value representations are implicit, and whether the low byte comes first, in the file of a `dataset`.

    pydicom 3 calls both `original_encoding`, pydicom 2 by other names. What was not read from a file counts as
    explicit, low byte first.
    """
    if hasattr(dataset, "original_encoding"):
        implicit, little = dataset.original_encoding
    else:
        implicit, little = (getattr(dataset, name, None) for name in ("read_implicit_vr", "read_little_endian"))
    return bool(implicit), little is not False
