"""Masks as DICOM Segmentation objects that refer to their film (DICOM PS3.3, A.51)."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path

import numpy as np

from ..errors import BundleError
from ..files import replacing
from ..films.suffixes import has_preamble
from .formats import Mask

# SNOMED CT concepts of what networks of this bundle segment
STRUCTURES = {
    "lungs": ("39607008", "Lung"),
    "left lung": ("44029006", "Left lung"),
    "right lung": ("3341006", "Right lung"),
    "heart": ("80891009", "Heart"),
}
# What patient and study must hold, if only empty (DICOM type 2); films from outside a hospital often lack some
MAY_BE_EMPTY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
METADATA = Path(__file__).resolve().parents[2] / "configs" / "metadata.json"


def write_seg(mask: Mask, path: Path) -> None:
    """One binary segment a class, in the film's study and with its patient; empty classes are named too.

    Raises:
        BundleError: the film is no DICOM file, lacks the identifiers that a reference needs, or a class has no code.
    """
    import highdicom
    import pydicom
    from pydicom.sr.codedict import codes

    film = pydicom.dcmread(mask.source, force=True)
    check_source(film, mask)
    for name in MAY_BE_EMPTY:
        if name not in film:
            setattr(film, name, None)
    if "ImagePositionPatient" not in film:  # a frame of reference without a place in it: highdicom asks for both
        film.pop("FrameOfReferenceUID", None)
    metadata = json.loads(METADATA.read_text())
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=metadata["name"], version=metadata["version"], family=codes.cid7162.ArtificialIntelligence
    )
    segments = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.cid7150.AnatomicalStructure,
            segmented_property_type=highdicom.sr.CodedConcept(STRUCTURES[name][0], "SCT", STRUCTURES[name][1]),
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        for number, name in enumerate(mask.class_names, start=1)
    ]
    logging.getLogger("highdicom").setLevel(logging.WARNING)  # it logs identifiers of patient and study
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an empty mask is said in the results, not by highdicom
        segmentation = highdicom.seg.Segmentation(
            source_images=[film],
            pixel_array=np.ascontiguousarray(mask.labels.T)[None],
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=segments,
            series_instance_uid=highdicom.UID(),
            series_number=100,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer=metadata["authors"],
            manufacturer_model_name="AdaLoRA-QAT",
            software_versions=metadata["version"],
            device_serial_number="0",
            content_label="LUNGS",
            content_description="Research only, not for diagnosis",
            series_description="Automatic segmentation, research only",
            omit_empty_frames=bool(mask.labels.any()),
        )
    # Same pixels as the film, whose spacing counts; highdicom 0.28 cannot read measures without a slice thickness
    segmentation.SharedFunctionalGroupsSequence[0].pop("PixelMeasuresSequence", None)
    segmentation.PatientOrientation = film.get("PatientOrientation")
    with replacing(path) as partial:
        segmentation.save_as(partial)


def check_source(film, mask: Mask) -> None:
    """Raise `BundleError` unless a segmentation of `film` can be written."""
    if "SOPClassUID" not in film and not has_preamble(mask.source):
        raise BundleError(f"{mask.source}: is no DICOM file; a DICOM segmentation (format seg) refers to one")
    needed = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
    missing = [name for name in needed if not film.get(name)]
    if missing:
        raise BundleError(f"{mask.source}: has no {missing[0]}, which a DICOM segmentation refers to")
    unknown = [name for name in mask.class_names if name not in STRUCTURES]
    if unknown:
        raise BundleError(f"class {unknown[0]!r} has no code for a DICOM segmentation; known: {', '.join(STRUCTURES)}")
