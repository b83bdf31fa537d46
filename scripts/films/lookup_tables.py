"""Lookup tables of DICOM files (PS3.3, C.11.1 and C.11.2), as they are really written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .encoding import written_encoding


@dataclass(frozen=True)
class LookupTable:
    """A table of grays.

    Attributes:
        first: the value that the first entry belongs to; lower ones get the first entry, higher ones the last.
        entries: N grays, float32.
    """

    first: int
    entries: np.ndarray

    @classmethod
    def of(cls, item, dataset, voi: bool = False) -> LookupTable | None:
        """The table in `item` of a LUT sequence, or None where it holds none that can be read.

        Entries of up to 8 bits come packed, or one in each word of 16 bits.

        Args:
            item: with LUTDescriptor and LUTData.
            dataset: the film.
            voi: whether it belongs to values after the modality LUT or rescale, which may be negative.
        """
        descriptor, data = item.get("LUTDescriptor"), item.get("LUTData")
        if descriptor is None or len(descriptor) != 3 or data is None:
            return None
        count, first, bits = (int(value) for value in descriptor)
        count = (count & 0xFFFF) or 1 << 16
        first &= 0xFFFF
        signed = dataset.get("PixelRepresentation") == 1
        if voi and float(dataset.get("RescaleIntercept") or 0) < 0:
            signed = True
        if signed and first >= 1 << 15:
            first -= 1 << 16
        entries = cls.read_entries(data, count, bits, little=written_encoding(dataset)[1])
        return None if entries is None else cls(first, entries)

    @staticmethod
    def read_entries(data: object, count: int, bits: int, little: bool = True) -> np.ndarray | None:
        """N entries of LUTData: bytes of OW, or numbers of US or SS; None where there are too few."""
        if isinstance(data, bytes | bytearray):
            words = np.frombuffer(data[: len(data) // 2 * 2], "<u2" if little else ">u2")
            if len(words) >= count:
                values = words[:count]
            elif len(data) >= count:  # 8 bits each, two to a word
                values = np.frombuffer(data, np.uint8)
                values = (values if little else values.reshape(-1, 2)[:, ::-1].ravel())[:count]
            else:
                return None
        else:
            numbers = np.atleast_1d(np.asarray(data)).astype(np.int64) & 0xFFFF
            if len(numbers) < count <= 2 * len(numbers):  # packed, read as words
                numbers = np.stack([numbers & 0xFF, numbers >> 8], axis=1).ravel()
            values = numbers[:count]
            if len(values) < count:
                return None
        if 0 < bits <= 8 and values.max() > 0xFF and not (values & 0xFF).any():  # in the upper byte of the word
            values = values >> 8
        return values.astype(np.float32)

    @property
    def range(self) -> tuple[float, float]:
        """The least and the largest gray."""
        return float(self.entries.min()), float(self.entries.max())

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Grays of `values`, float32 of the same shape."""
        places = np.rint(values).astype(np.int64) - self.first
        return self.entries[places.clip(0, len(self.entries) - 1)]
