"""The classifier of polarity and pose: its training as configured, and its integers against the float network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from torch import nn

from scripts.errors import BundleError
from scripts.film_classifier import FilmNetwork, FilmPictures, StateBatch
from scripts.film_classifier.checking import turned_state
from scripts.film_classifier.export import integer_layers
from scripts.film_classifier.states import in_states, scaled, upright_pictures
from scripts.films.looking import POSES, SIDE, Classifier, Look, consensus, picture_of
from scripts.films.pose import Pose
from scripts.phantoms import generate_phantom, write_phantoms

ROOT = Path(__file__).parents[1]
EIGHT = [Pose.numbered(number) for number in range(POSES)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> dict:
    """A short run of the config on phantoms."""
    folder = tmp_path_factory.mktemp("classifier")
    write_phantoms(folder / "films", 12, size=96, seed=800)
    (folder / "models").mkdir()
    (folder / "models" / "split.json").write_text(
        json.dumps({"train": [], "validation": [], "test": ["phantom_00001"]})
    )
    workflow = ConfigWorkflow(
        config_file=str(ROOT / "configs" / "film_classifier.yaml"),
        workflow_type="train",
        logging_file=str(ROOT / "configs" / "logging.conf"),
        meta_file=str(ROOT / "configs" / "metadata.json"),
        run_id="training",
        bundle_root=str(ROOT),
        model_dir=str(folder / "models"),
        output_dir=str(folder / "eval"),
        dataset_dirs=[str(folder / "films")],
        phantoms=40,
        epochs=25,
        channels=[8, 16, 16, 16],
        batch_size=16,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return {"folder": folder, "workflow": workflow}


def test_a_run_writes_integers_that_load_and_a_report(trained):
    path = trained["folder"] / "models" / "film_classifier.npz"
    classifier = Classifier.load(path)
    assert [weight.dtype for weight, _, _ in classifier.layers] == [np.int8] * 5
    assert [bias.dtype for _, bias, _ in classifier.layers] == [np.int32] * 5
    look = classifier.look(generate_phantom(5, 128).image)
    assert look.probability.shape == (16,) and look.probability.sum() == pytest.approx(1)
    report = json.loads((trained["folder"] / "eval" / "report.json").read_text())
    assert report["bytes"] == path.stat().st_size
    for part in ("validation", "test"):
        for row in report[part].values():
            assert row["other_states"] == 15 * row["films"]
            assert 0 <= row["right"] <= row["right_but_for_a_mirror"] <= row["other_states"]


def test_films_of_the_split_record_stay_in_their_part(trained):
    pictures = trained["workflow"].parser.get_parsed_content("pictures")
    films = {part: [name for _, name, source in pictures[part].films if isinstance(source, str)] for part in pictures}
    assert len(set().union(*films.values())) == 12 == sum(map(len, films.values()))
    assert "phantom_00001" in films["test"]


def test_loss_falls_below_guessing(trained):
    """Sixteen states: guessing costs log 16."""
    parser = trained["workflow"].parser
    network = parser.get_parsed_content("network").eval()
    pictures = parser.get_parsed_content("pictures")["train"]
    batch = {"image": torch.stack([pictures[index]["image"] for index in range(len(pictures))])}
    images, states, _, _ = StateBatch(seed=5)(batch)
    with torch.no_grad():
        assert float(nn.functional.cross_entropy(network(images), states)) < 0.9 * float(np.log(16))


def test_integers_agree_with_the_float_network_on_most_pictures(trained):
    parser = trained["workflow"].parser
    network = parser.get_parsed_content("network").eval()
    classifier = Classifier.load(trained["folder"] / "models" / "film_classifier.npz")
    upright = upright_pictures(parser.get_parsed_content("pictures")["train"])
    states = torch.arange(len(upright)) % (2 * POSES)
    images = in_states(upright, states)
    with torch.no_grad():
        logits = network(images).numpy()
    found = np.stack([classifier.logits((image[0].numpy() * 255 + 0.5).astype(np.uint8)) for image in images])
    assert (found.argmax(axis=1) == logits.argmax(axis=1)).mean() > 0.85
    assert np.corrcoef(found.ravel(), logits.ravel())[0, 1] > 0.98


# Its parts


def small_network() -> FilmNetwork:
    torch.manual_seed(0)
    network = FilmNetwork([4, 6, 8, 8], dropout=0.2)
    for module in network:
        if isinstance(module, nn.BatchNorm2d):  # as training would leave it
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    return network.eval()


def test_folded_layers_are_the_network_in_evaluation():
    network = small_network()
    images = torch.rand(3, 1, SIDE, SIDE)
    values = images
    *convolutions, (weight, bias) = network.folded()
    for kernel, shift in convolutions:
        values = torch.relu(nn.functional.conv2d(values, kernel, shift, stride=2, padding=1))
    with torch.no_grad():
        torch.testing.assert_close(values.flatten(1) @ weight.T + bias, network(images), atol=1e-4, rtol=1e-4)


def test_integer_layers_of_any_network_are_close_to_it():
    class Drawn:
        """What `integer_layers` needs of a set of pictures."""

        pictures = torch.rand(24, 1, 96, 96, generator=torch.Generator().manual_seed(1))

        def __len__(self) -> int:
            return len(self.pictures)

        def __getitem__(self, index: int) -> dict:
            return {"image": self.pictures[index]}

    network = small_network()
    classifier = Classifier(integer_layers(network, Drawn()))
    images = upright_pictures(Drawn())
    with torch.no_grad():
        expected = network(images).numpy()
    found = np.stack([classifier.logits((image[0].numpy() * 255 + 0.5).astype(np.uint8)) for image in images])
    assert np.abs(found - expected).max() < 0.1 * np.ptp(expected)


def test_pictures_in_a_state_are_what_the_pose_stores():
    images = torch.rand(16, 1, 8, 8)
    drawn = in_states(images, torch.arange(16))
    for state in range(16):
        expected = EIGHT[state % POSES].stored(images[state, 0].numpy())
        np.testing.assert_allclose(drawn[state, 0].numpy(), 1 - expected if state >= POSES else expected, rtol=1e-6)


def test_a_turned_picture_in_a_pose_is_in_the_state_that_is_told():
    picture = np.random.default_rng(0).random((5, 7))
    for pose in EIGHT:
        for turn in EIGHT:
            told = EIGHT[turned_state(pose, turn)]
            np.testing.assert_array_equal(told.stored(picture), turn.upright(pose.stored(picture)))


def test_answers_in_all_poses_that_agree_are_their_consensus():
    """A picture in pose 5 seen after each turn: if every answer is right, so is the mean."""
    pose = EIGHT[5]
    looks = [Look(np.eye(16)[turned_state(pose, turn) + POSES]) for turn in EIGHT]
    np.testing.assert_allclose(consensus(EIGHT, looks).probability, np.eye(16)[5 + POSES])


def test_training_pictures_have_the_grays_of_those_that_are_looked_at():
    image = np.random.default_rng(0).random((SIDE, SIDE)).astype(np.float32) * 3 - 1
    in_training = scaled(torch.from_numpy(image)[None, None])[0, 0].numpy() * 255
    assert np.abs(in_training - picture_of(image)).max() <= 2


def test_draws_follow_the_seed():
    batch = {"image": torch.rand(4, 1, 96, 96)}
    first, again, other = (StateBatch(seed=seed)(batch) for seed in (3, 3, 4))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    images, states, args, kwargs = first
    assert images.shape == (4, 1, SIDE, SIDE) and 0 <= images.min() and images.max() <= 1
    assert states.min() >= 0 and states.max() < 16 and (args, kwargs) == ((), {})


def test_folders_without_films_are_refused(tmp_path):
    (tmp_path / "manifest.csv").write_text("image\n")
    (tmp_path / "split.json").write_text("{}")
    with pytest.raises(BundleError, match="no films listed in"):
        FilmPictures([tmp_path], tmp_path / "split.json", {"train": 1.0})
