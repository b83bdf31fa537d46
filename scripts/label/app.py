"""MONAI Label app of this bundle: segmentation, pictures of films, training, and which film to label next.

The server reads this file as the app's `main.py`, so it imports nothing of the bundle.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from pathlib import Path

from monai.transforms import SaveImaged
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.infer_v2 import InferType
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random
from monailabel.tasks.infer.bundle import BundleConstants, BundleInferTask
from monailabel.tasks.train.bundle import BundleTrainTask
from monailabel.utils.others.generic import get_bundle_models
from PIL import Image

logger = logging.getLogger(__name__)
FILM_PICTURE = "film_picture"  # the task, and its section in the bundle's configs/inference.yaml


def fetch(datastore, image: str) -> str:
    """`datastore.get_image_uri` with the same answer every time.

    A film of a DICOMweb server that it asks for the first time comes back as a temporary copy.
    """
    datastore.get_image_uri(image)
    return datastore.get_image_uri(image)


def fetched_dicom(image: str) -> str:
    """The DICOM file of the NIfTI file `image` that MONAI Label made of what it fetched from a DICOMweb server.

    The conversion keeps the order of the pixels, but not what the file says of polarity, pose and exposed field. Where
    the series has not one file, `image` itself.
    """
    series = Path(image.removesuffix(".nii.gz"))
    files = [path for path in series.iterdir() if path.is_file()] if series.is_dir() else []
    return str(files[0]) if len(files) == 1 else image


class Segmentation(BundleInferTask):
    """The bundle's network on the film as its sender wrote it.

    Args:
        path, conf, options: of `BundleInferTask`.
        remote: whether films come from a DICOMweb server.
    """

    def __init__(self, path: str, conf: dict[str, str], remote: bool, **options) -> None:
        super().__init__(path, conf, **options)
        self.remote = remote

    def __call__(self, request, callbacks=None) -> tuple[str | None, dict]:
        if self.remote and isinstance(request.get("image"), str):
            request = {**request, "image": fetched_dicom(request["image"])}
        return super().__call__(request, callbacks)


class PictureSection(BundleConstants):
    """Where the bundle's configuration says how a film becomes a picture."""

    def key_preprocessing(self) -> list[str]:
        return [FILM_PICTURE]


class FilmPicture(Segmentation):
    """The film as a person expects to see it, as PNG of 8 bits: upright, bone bright, square pixels.

    The JSON part of the answer says how its pixels lie in the file, and what was done, see
    `scripts.output.FilmPictured`.
    """

    def __init__(self, path: str, conf: dict[str, str], remote: bool) -> None:
        super().__init__(path, conf, remote, const=PictureSection(), type=InferType.OTHERS)
        self.labels, self._config = [], {}
        self.description = "The film upright, bone bright, with square pixels, and the way to the file's own pixels"

    def __call__(self, request, callbacks=None) -> tuple[str, dict]:
        image = fetched_dicom(request["image"]) if self.remote else request["image"]
        data = {"image": image}
        for transform in self.pre_transforms(data):
            data = transform(data)
        with tempfile.NamedTemporaryFile(suffix=".png", delete=False) as file:
            Image.fromarray(data["image"]).save(file, format="PNG", compress_level=3)
        return file.name, data["result"]


class ExpectedDice(ScoringMethod):
    """Notes with every unlabelled image the Dice that the network expects of its own mask.

    The stock app scores by dropout, which this network has none of. An image that cannot be read gets no score and is
    named in the log and in the summary.
    """

    def __init__(self, name: str, task: BundleInferTask) -> None:
        super().__init__("Dice that the network expects of its own mask; the lowest is the most worth labelling")
        self.name = name
        self.task = task

    def __call__(self, request, datastore) -> dict[str, object]:
        start, version = time.time(), os.path.getmtime(self.task.get_path())
        images = datastore.get_unlabeled_images()
        stale = [image for image in images if datastore.get_image_info(image).get("scored_by") != [self.name, version]]
        failed = []
        for number, image in enumerate(stale, start=1):
            uri = fetch(datastore, image)
            try:
                _, result = self.task({"image": uri, "device": request.get("device", "cpu"), "skip_writer": True})
            except ValueError as error:  # the bundle's errors of bad input are of this kind
                failed.append(image)
                logger.warning("%s gets no score: %s", image, error)
                continue
            score = {"expected_dice": round(result["expected_dice"], 4), "scored_by": [self.name, version]}
            datastore.update_image_info(image, score)
            logger.info("Scored %d of %d: %s %s", number, len(stale), image, score["expected_dice"])
        return {
            "total": len(images),
            "skipped": len(images) - len(stale),
            "executed": len(stale) - len(failed),
            "failed": failed,
            "latency": round(time.time() - start, 3),
        }


class LeastConfident(Strategy):
    """The unlabelled image of the lowest expected Dice; images without a score come last, by name."""

    def __init__(self) -> None:
        super().__init__("The image whose mask the network expects to be the worst; run the scoring first")

    def __call__(self, request, datastore) -> dict[str, object] | None:
        images = datastore.get_unlabeled_images(request.get("label_tag"), request.get("labels"))
        scores = {image: datastore.get_image_info(image).get("expected_dice") for image in images}
        if not images:
            return None
        chosen = min(images, key=lambda image: (scores[image] is None, scores[image] or 0.0, image))
        return {"id": chosen, "weight": scores[chosen]} if scores[chosen] is not None else {"id": chosen}


class ChestXRays(MONAILabelApp):
    """Every bundle named by ``--conf models`` below the app's `model/`, with scoring and strategies."""

    def __init__(self, app_dir, studies, conf) -> None:
        self.models = get_bundle_models(app_dir, conf)
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="AdaLoRA-QAT for chest X-rays",
            description="Lung segmentation in chest X-rays; for research, not a medical device",
        )

    @property
    def remote(self) -> bool:
        """Whether films come from a DICOMweb server."""
        return self.studies.startswith(("http://", "https://"))

    def init_infers(self) -> dict[str, BundleInferTask]:
        tasks = {name: Segmentation(path, self.conf, self.remote) for name, path in self.models.items()}
        for path in self.models.values():
            pictures = FilmPicture(path, self.conf, self.remote)
            if pictures.bundle_config.get(FILM_PICTURE):  # a copy of an earlier bundle has none
                tasks.setdefault(FILM_PICTURE, pictures)
        return tasks

    def infer(self, request, datastore=None) -> dict[str, object]:
        image = request["image"]
        if self.remote and isinstance(image, str) and not os.path.exists(image):
            fetch(datastore or self.datastore(), image)
        return super().infer(request, datastore)

    def init_trainers(self) -> dict[str, BundleTrainTask]:
        return {name: BundleTrainTask(path, self.conf) for name, path in self.models.items()}

    def init_strategies(self) -> dict[str, Strategy]:
        return {"least_confident": LeastConfident(), "first": First(), "random": Random()}

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        return {
            name: ExpectedDice(name, Segmentation(path, self.conf, self.remote, post_filter=[SaveImaged]))
            for name, path in self.models.items()
        }
