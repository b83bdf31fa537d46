"""Small folders in the three layouts of a data list."""

import csv
import json

import numpy as np
from PIL import Image


def write_png(path, width=6, height=4, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width), value, dtype=np.uint8)).save(path)
    return path


def write_manifest(root, rows, encoding="utf-8"):
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with (root / "manifest.csv").open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def manifest_folder(root, count=4, **columns):
    """`count` pairs listed in a manifest; `columns` map a name to a function of the index."""
    rows = []
    for i in range(count):
        write_png(root / "x" / f"film{i}.png")
        write_png(root / "y" / f"film{i}_mask.png")
        row = {"image": f"x/film{i}.png", "mask": f"y/film{i}_mask.png"}
        rows.append(row | {name: value(i) for name, value in columns.items()})
    write_manifest(root, rows)
    return root


def paired_folder(root, stems=("a", "b")):
    for stem in stems:
        write_png(root / "images" / f"{stem}.png")
        write_png(root / "masks" / f"{stem}.png")
    return root


def decathlon_folder(root, sections):
    """`sections` maps a section to stems."""
    content = {}
    for section, stems in sections.items():
        content[section] = [{"image": f"img/{stem}.png", "label": f"lab/{stem}.png"} for stem in stems]
        for stem in stems:
            write_png(root / "img" / f"{stem}.png")
            write_png(root / "lab" / f"{stem}.png")
    (root / "datalist.json").write_text(json.dumps(content))
    return content
