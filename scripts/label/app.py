"""MONAI Label app of this bundle: segmentation, training, and which film to label next.

The server reads this file as the app's `main.py`, so it imports nothing of the bundle.
"""

from __future__ import annotations

import logging
import os
import time

from monai.transforms import SaveImaged
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random
from monailabel.tasks.infer.bundle import BundleInferTask
from monailabel.tasks.train.bundle import BundleTrainTask
from monailabel.utils.others.generic import get_bundle_models

logger = logging.getLogger(__name__)


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
            uri = datastore.get_image_uri(image)
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

    def init_infers(self) -> dict[str, BundleInferTask]:
        return {name: BundleInferTask(path, self.conf) for name, path in self.models.items()}

    def init_trainers(self) -> dict[str, BundleTrainTask]:
        return {name: BundleTrainTask(path, self.conf) for name, path in self.models.items()}

    def init_strategies(self) -> dict[str, Strategy]:
        return {"least_confident": LeastConfident(), "first": First(), "random": Random()}

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        return {
            name: ExpectedDice(name, BundleInferTask(path, self.conf, post_filter=[SaveImaged]))
            for name, path in self.models.items()
        }
