"""Values of PNG, JPEG and TIFF films (TIFF 6.0, sections 3 to 8)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from .dicom_writing import stored
from .forms import FORMS, Variant
from .geometry import Film
from .raster_writing import bytes_of, write_jpeg, write_png, write_tiff


@FORMS.form("plain", "plain")
def plain(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """The film itself: 8-bit gray PNG."""
    return Variant(write_png(path, bytes_of(film.image)), film, "")


def tiff(bits: int, photometric: int, film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """8, 12 in 16, or 16 bits; photometric 0 is WhiteIsZero."""
    pixels = stored(film.image, bits)
    fields: dict[str, object] = {"PhotometricInterpretation": photometric}
    if photometric == 0:
        pixels = (2**bits - 1 - pixels).astype(pixels.dtype)
    if bits == 12 and rng.random() < 0.5:
        fields |= {"MinSampleValue": 0, "MaxSampleValue": 2**bits - 1}
    order, strips = str(rng.choice(["<", ">"])), int(rng.integers(1, 9))
    return Variant(write_tiff(path, pixels, fields, order, strips), film, f"{order} {strips} strips")


FORMS.add("tiff_white_is_zero_8", "values", partial(tiff, 8, 0))
FORMS.add("tiff_white_is_zero_16", "values", partial(tiff, 16, 0))
FORMS.add("tiff_white_is_zero_12_in_16", "values", partial(tiff, 12, 0))
FORMS.add("tiff_12_in_16", "values", partial(tiff, 12, 1))
FORMS.add("tiff_16", "values", partial(tiff, 16, 1))


@FORMS.form("tiff_float", "values")
def tiff_float(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """32-bit floats in any range, also below zero."""
    low, high = [(0.0, 1.0), (-1.0, 1.0), (0.0, 4095.0), (-1024.0, 3071.0), (0.0, 65535.0)][rng.integers(5)]
    fields, image = {}, film.image
    if rng.random() < 0.3:
        fields, image = {"PhotometricInterpretation": 0}, 1 - image
    pixels = (low + image * (high - low)).astype(np.float32)
    written = write_tiff(path, pixels, fields, str(rng.choice(["<", ">"])))
    return Variant(written, film, f"{low:g} to {high:g}{', WhiteIsZero' if fields else ''}")


@FORMS.form("tiff_palette", "values")
def tiff_palette(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Numbers of a gray palette, falling or shuffled."""
    grays = np.arange(255, -1, -1) if rng.random() < 0.5 else rng.permutation(256)
    numbers = np.argsort(grays)[bytes_of(film.image)].astype(np.uint8)
    fields = {"PhotometricInterpretation": 3, "ColorMap": [int(gray) * 257 for gray in grays] * 3}
    return Variant(write_tiff(path, numbers, fields), film, "falling" if grays[0] == 255 else "shuffled")


@FORMS.form("tiff_packed", "values")
def tiff_packed(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Compressed without loss, WhiteIsZero or not, as Pillow's libtiff writes it."""
    pixels, path = stored(film.image, 16), path.with_name(f"{path.name}.tif")
    compression, white = str(rng.choice(["tiff_lzw", "tiff_adobe_deflate", "packbits"])), bool(rng.random() < 0.5)
    image = Image.fromarray(65535 - pixels if white else pixels)
    image.save(path, compression=compression, tiffinfo={262: 0} if white else {})
    with Image.open(path) as written:  # what was written is what counts: libtiff sets its own tag
        said = written.tag_v2[262]
    if said != (0 if white else 1):
        Image.fromarray(pixels).save(path, compression=compression)
        white = False
    return Variant(path, film, f"{compression}{', WhiteIsZero' if white else ''}")


@FORMS.form("png_16_few_values", "values")
def png_16_few_values(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """16 bits a pixel, of which few are used, from zero or from a floor."""
    bits, floor = int(rng.choice([8, 10, 12])), int(rng.choice([0, 1000, 30000]))
    pixels = stored(film.image, bits).astype(np.uint16) + np.uint16(floor)
    return Variant(write_png(path, pixels), film, f"{bits} bits from {floor}")


@FORMS.form("png_alpha", "values")
def png_alpha(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Gray with an alpha channel, or colours with one."""
    mode = str(rng.choice(["LA", "RGBA"]))
    path = path.with_name(f"{path.name}.png")
    Image.fromarray(bytes_of(film.image)).convert(mode).save(path)
    return Variant(path, film, mode)


@FORMS.form("png_palette", "values")
def png_palette(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Numbers of a gray palette, falling."""
    path = path.with_name(f"{path.name}.png")
    image = Image.fromarray(255 - bytes_of(film.image), mode="P")
    image.putpalette([gray for gray in range(255, -1, -1) for _ in range(3)])
    image.save(path)
    return Variant(path, film, "falling")


@FORMS.form("jpeg_colour", "values")
def jpeg_colour(film: Film, rng: np.random.Generator, path: Path) -> Variant:
    """Gray in three channels, with the tint that screens and scanners give."""
    tint = 1 - rng.uniform(0, 0.12, 3)
    quality = int(rng.integers(60, 96))
    pixels = bytes_of(film.image[..., None] * tint)
    return Variant(write_jpeg(path, pixels, quality=quality), film, f"quality {quality}, tint {tint.round(2).tolist()}")
