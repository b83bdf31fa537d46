"""Federated training: what travels, what the server makes of it, and MonaiAlgo clients from start to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conftest import small_sam
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.fl.utils.exchange_object import ExchangeObject

from scripts.adapters import RankSchedule, adapted_layers, compact, rank_budget
from scripts.errors import BundleError
from scripts.federated import Federation, Server, Simulation, exchanged_state, from_bytes, sites_of, to_bytes
from scripts.federated.exchange import FROZEN, IMAGES, ROUND
from scripts.federated.federation import configured_server
from scripts.federated.sizes import exchange_sizes, prune_evenly
from scripts.parameters import train_only
from scripts.phantoms import write_detectors, write_phantoms
from scripts.quantization import activation_quantizers, prepare
from scripts.sam import build_sam
from scripts.sam.weights import read_weights, save_weights

ROOT = Path(__file__).parents[1]
BASE = ROOT / "models" / "sam_vit_ti_phantom.pt"
STAGE2_TRAINABLE = ["*.adapter_lambda", "mask_decoder.*", "prompt_encoder.*"]
RANK, TARGET_RANK = 6, 3
SMALL = {
    "image_size": 64,
    "window_size": 4,
    "rank": RANK,
    "target_rank": TARGET_RANK,
    "rounds": 3,
    "qat_rounds": 2,
    "local_epochs": 1,
    "batch_size": 4,
    "calibration_batches": 2,
    "base_weights": str(BASE),
    "fractions": {"train": 0.7, "validation": 0.3, "test": 0.0},
    "seed": 0,
}


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory) -> Path:
    """Two data sets of 12 phantoms."""
    folder = tmp_path_factory.mktemp("hospitals")
    write_detectors(folder, 12, size=64, seed=700)
    return folder


def stage2_network() -> torch.nn.Module:
    return prepare(train_only(compact(small_sam()), STAGE2_TRAINABLE), ROOT / "configs" / "policies" / "paper.yaml")


def server_of_small_sam(rounds: int = 1, target: int = 12) -> Server:
    network = small_sam()
    return Server(network, BASE, RankSchedule(rank_budget(network), target, rounds, 0, 0))


def update_of(server: Server, images: int) -> dict[str, torch.Tensor]:
    """What a site sends that changed nothing; its triplets are the more important the later they stand."""
    update, before = {**server.broadcast(), IMAGES: torch.tensor(images)}, 0
    for name, layer in adapted_layers(server.network).items():
        update[f"{name}.importance"] = torch.arange(1.0, sum(layer.ranks) + 1) + before
        before += sum(layer.ranks)
    return update


def test_exchanged_state_of_stage1_is_what_trains_and_the_rank_masks():
    network = small_sam()
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    masks = {f"{name}.rank_mask" for name in adapted_layers(network)}
    state = exchanged_state(network)
    assert set(state) == trained | masks and len(masks) == 2
    encoder = {name for name in state if name.startswith("image_encoder.")}
    assert {name.rpartition(".")[2] for name in encoder} == {"adapter_P", "adapter_lambda", "adapter_Q", "rank_mask"}
    assert not any(name.endswith(".attn.qkv.weight") for name in state)


def test_exchanged_state_of_stage2_is_singular_values_decoder_and_ranges():
    network = stage2_network()
    state = exchanged_state(network)
    ranges = {f"{name}.{part}" for name in activation_quantizers(network) for part in ("low", "high", "calibrated")}
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert set(state) == trained | ranges and len(ranges) > 30
    rest = {name for name in state if name.startswith("image_encoder.")} - ranges
    assert {name.rpartition(".")[2] for name in rest} == {"adapter_lambda"}


def test_messages_survive_the_wire_bit_by_bit():
    state = exchanged_state(small_sam())
    arrived = from_bytes(to_bytes(state))
    assert list(arrived) == list(state) and all(torch.equal(arrived[name], state[name]) for name in state)
    size = sum(value.numel() * value.element_size() for value in state.values())
    assert size < len(to_bytes(state)) < size + 1000 * len(state)


def test_aggregate_is_the_mean_weighted_by_images():
    server = server_of_small_sam()
    name = "mask_decoder.mask_tokens.weight"
    small, large = update_of(server, images=1), update_of(server, images=3)
    small[name], large[name] = torch.full_like(small[name], 2.0), torch.full_like(small[name], 6.0)
    server.aggregate({"small": small, "large": large})
    assert torch.equal(server.network.state_dict()[name], torch.full_like(small[name], (1 * 2 + 3 * 6) / 4))


def test_one_mask_from_the_importance_at_all_sites():
    """Site a finds early triplets important, site b late ones; b has three times the images."""
    server = server_of_small_sam(target=12)
    a, b = update_of(server, images=1), update_of(server, images=3)
    names = [name for name in a if name.endswith(".importance")]
    assert [len(a[name]) for name in names] == [12, 12]
    a[names[0]], a[names[1]] = torch.arange(24.0, 12, -1), torch.arange(12.0, 0, -1)
    b[names[0]], b[names[1]] = torch.arange(1.0, 13), torch.arange(13.0, 25)
    by_hand = (torch.cat([a[name] for name in names]) + 3 * torch.cat([b[name] for name in names])) / 4
    kept = set(by_hand.argsort(descending=True)[:12].tolist())
    server.aggregate({"a": a, "b": b})
    masks = torch.cat([layer.rank_mask for layer in adapted_layers(server.network).values()])
    assert set(masks.nonzero().flatten().tolist()) == kept
    sent = server.broadcast()
    assert torch.equal(torch.cat([sent[name.replace("importance", "rank_mask")] for name in names]), masks)


def test_budget_falls_over_the_rounds_and_importance_ends_with_it():
    server = server_of_small_sam(rounds=4, target=6)
    server.allocator.schedule = RankSchedule(24, 6, 4, 0, 1)
    budgets = []
    for _ in range(3):
        server.aggregate({"a": update_of(server, 5)})
        budgets.append(server.allocator.budget)
    assert budgets == [server.allocator.schedule.budget(number) for number in (1, 2, 3)] and budgets[-1] == 6
    final = update_of(server, 5)
    with pytest.raises(BundleError, match="site 'a' sent 'image_encoder.blocks.0.attn.qkv.importance', which is not"):
        server.aggregate({"a": final})


def other_base(update: dict) -> None:
    update[FROZEN] = update[FROZEN] + 1


def without_a_token(update: dict) -> None:
    del update["mask_decoder.mask_tokens.weight"]


def with_a_base_weight(update: dict) -> None:
    update["image_encoder.blocks.0.attn.qkv.weight"] = torch.zeros(96, 32)


def of_another_rank(update: dict) -> None:
    update["image_encoder.blocks.0.attn.qkv.adapter_lambda"] = torch.zeros(9)


def diverged(update: dict) -> None:
    update["mask_decoder.mask_tokens.weight"][0, 0] = torch.nan


def late(update: dict) -> None:
    update[ROUND] = torch.tensor(0)


def without_images(update: dict) -> None:
    update[IMAGES] = torch.tensor(0)


def own_mask(update: dict) -> None:
    update["image_encoder.blocks.1.attn.qkv.rank_mask"][3] = False


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (other_base, "site 'south' has another frozen base .* give all sites the same base_weights"),
        (without_a_token, "site 'south' sent no 'mask_decoder.mask_tokens.weight'"),
        (with_a_base_weight, "site 'south' sent 'image_encoder.blocks.0.attn.qkv.weight', which is not exchanged"),
        (of_another_rank, r"site 'south' sent image_encoder.*adapter_lambda \(9,\) .*expected \(12,\)"),
        (diverged, "site 'south' sent mask_decoder.mask_tokens.weight with values that are not finite"),
        (late, "site 'south' sent round 0, expected 1"),
        (without_images, "site 'south' trained on 0 images"),
        (own_mask, "'north' and 'south' differ in image_encoder.blocks.1.attn.qkv.rank_mask"),
    ],
)
def test_update_that_does_not_fit_is_refused_by_name(fault, message):
    server = server_of_small_sam()
    before = {name: value.clone() for name, value in server.network.state_dict().items()}
    update = update_of(server, 2)
    fault(update)
    with pytest.raises(BundleError, match=message):
        server.aggregate({"north": update_of(server, 2), "south": update})
    assert server.round == 1
    assert all(torch.equal(before[name], value) for name, value in server.network.state_dict().items())


def test_round_without_updates_is_an_error():
    with pytest.raises(BundleError, match="round 1: no site sent an update"):
        server_of_small_sam().aggregate({})


def test_fingerprint_is_of_base_file_scaling_and_frozen_adapters(tmp_path):
    from scripts.federated import frozen_fingerprint

    network, other_file = small_sam(), tmp_path / "base.pt"
    own = frozen_fingerprint(network, BASE)
    save_weights({"model": {}}, other_file)
    assert not torch.equal(own, frozen_fingerprint(network, other_file))
    with torch.no_grad():
        network.image_encoder.blocks[0].attn.qkv.adapter_P.add_(1)
    assert torch.equal(own, frozen_fingerprint(network, BASE)), "stage 1 exchanges P"
    network.image_encoder.blocks[0].attn.qkv.adapter_scaling.mul_(2)
    assert not torch.equal(own, frozen_fingerprint(network, BASE))
    second = stage2_network()
    own = frozen_fingerprint(second, BASE)
    with torch.no_grad():
        second.image_encoder.blocks[0].attn.qkv.adapter_P.add_(1)
    assert not torch.equal(own, frozen_fingerprint(second, BASE)), "stage 2 keeps P frozen"


class Watched(Federation):
    """Compares all sites with the server after every round."""

    masks: list[torch.Tensor]

    def run_round(self, stage, rounds, server, sites):
        super().run_round(stage, rounds, server, sites)
        networks = [server.network, *(site.trainer.network for site in sites.values())]
        for site in sites.values():
            assert site.evaluator.network is site.trainer.network
        states = [exchanged_state(network) for network in networks]
        for state in states[1:]:
            assert [name for name in state if not torch.equal(state[name], states[0][name])] == []
        self.masks = getattr(self, "masks", [])
        self.masks.append(torch.cat([layer.rank_mask for layer in adapted_layers(server.network).values()]))


@pytest.fixture(scope="module")
def federated(hospitals, tmp_path_factory) -> Watched:
    folder = tmp_path_factory.mktemp("federated")
    settings = {**SMALL, "dataset_dir": str(hospitals)}
    federation = Watched("federated", sites_of(hospitals), folder, ROOT, settings)
    federation.run()
    return federation


def test_both_stages_run_and_rank_masks_are_those_of_the_server(federated):
    stages = [(row["stage"], row["round"], row["site"]) for row in federated.rounds]
    sites = ("digital", "film")
    assert stages == [
        (stage, n, site) for stage, last in ((1, 3), (2, 2)) for n in range(1, last + 1) for site in sites
    ]
    budgets = [row["rank_budget"] for row in federated.rounds if row["site"] == "film"]
    schedule = RankSchedule.from_fractions(RANK * 36, TARGET_RANK * 36, 3, 0.15, 0.4)
    assert budgets[:3] == [schedule.budget(number) for number in (1, 2, 3)]
    assert budgets[2:] == [TARGET_RANK * 36] * 3
    assert [int(mask.sum()) for mask in federated.masks] == budgets


def test_masks_differ_by_layer_and_stage2_drops_what_is_masked(federated):
    pattern = json.loads((federated.folder / "models" / "rank_pattern.json").read_text())
    assert pattern["budget"] == TARGET_RANK * 36 and len(set(pattern["ranks"].values())) > 1
    assert federated.masks[2].numel() == RANK * 36 and federated.masks[3].numel() == TARGET_RANK * 36


def test_base_stays_as_it_was_and_every_site_ends_stage1_with_the_same_network(federated):
    base, stage1 = read_weights(BASE), read_weights(federated.folder / "models" / "stage1.pt")
    for key in ("image_encoder.blocks.3.attn.qkv.weight", "image_encoder.blocks.0.mlp.lin1.weight"):
        assert torch.equal(base[key], stage1[key])
    assert not torch.equal(base["mask_decoder.mask_tokens.weight"], stage1["mask_decoder.mask_tokens.weight"])
    moved = [key for key in stage1 if key.endswith("adapter_lambda") and stage1[key].any()]
    assert len(moved) > 12, "of 24 adapted layers"
    for site in ("digital", "film"):
        own = read_weights(federated.folder / site / "stage1.pt")
        assert [key for key in stage1 if not torch.equal(own[key], stage1[key])] == []


def test_first_round_of_stage2_calibrates_alone(federated):
    """Singular values and decoder leave it as stage 1 left them; they train from the second round on."""
    rows = [row for row in federated.rounds if row["stage"] == 2]
    stage1 = [row for row in federated.rounds if row["stage"] == 1 and row["round"] == 3]
    for calibrated, before in zip(rows[:2], stage1):
        assert calibrated["dice"] == pytest.approx(before["dice"], abs=0.02)
    trained = read_weights(federated.folder / "models" / "stage1.pt")["mask_decoder.iou_token.weight"]
    shipped = read_weights(federated.folder / "models" / "model.pt")["mask_decoder.iou_token.weight"]
    assert not torch.equal(trained, shipped)


def test_model_is_the_one_that_inference_builds(federated):
    parser = ConfigParser()
    parser.read_config(str(ROOT / "configs" / "inference.yaml"))
    models = str(federated.folder / "models")
    parser.update({"bundle_root": str(ROOT), "model_dir": models, "image_size": 64, "window_size": 4})
    network = parser.get_parsed_content("network").eval()
    with torch.no_grad():
        assert torch.isfinite(network(torch.rand(1, 1, 64, 64))).all()


def test_bytes_are_those_of_messages_and_far_below_full_fine_tuning(federated):
    plain = build_sam("vit_ti", 64, window_size=4)
    assert federated.full_bytes == len(to_bytes(plain.state_dict()))
    for row in federated.rounds:
        assert 0 < row["bytes_down"] < row["bytes_up"] < 0.5 * federated.full_bytes
    first, last = federated.rounds[0], federated.rounds[-1]
    assert last["bytes_up"] < first["bytes_up"], "stage 2 leaves P and Q at home"


def test_site_of_another_base_is_refused(hospitals, federated, tmp_path):
    """A client whose base differs by one number, as the server sees it and as the client sees the server."""
    weights = torch.load(BASE, weights_only=True)
    weights = {"model": {key: value.clone() for key, value in weights.get("model", weights).items()}}
    weights["model"]["image_encoder.blocks.0.mlp.lin1.weight"][0, 0] += 1
    other = tmp_path / "other_base.pt"
    save_weights(weights, other)
    settings = {**SMALL, "dataset_dir": str(hospitals)}
    sites = {"digital": {"datasets": ["digital"]}, "film": {"datasets": ["film"], "base_weights": str(other)}}
    with pytest.raises(BundleError, match="the server has another frozen base"):
        Federation("mixed", sites, tmp_path, ROOT, settings).run_stage(1)


def run_stage1_alone(dataset: Path, folder: Path, **settings) -> dict[str, torch.Tensor]:
    """Stage 1 of train.yaml as it is, without any federation; its last state."""
    workflow = ConfigWorkflow(
        config_file=str(ROOT / "configs" / "train.yaml"),
        workflow_type="train",
        run_id="stage1",
        logging_file=False,
        meta_file=None,
        bundle_root=str(ROOT),
        dataset_dir=str(dataset),
        model_dir=str(folder / "models"),
        output_dir=str(folder / "eval"),
        **settings,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return torch.load(folder / "eval" / "stage1" / "last.pt", weights_only=True)["model"]


def test_equal_sites_equal_one_site_which_equals_training_without_a_federation(tmp_path):
    """Same films, same seed, no pruning: FedAvg of equal weights changes nothing."""
    write_phantoms(tmp_path / "films", 12, size=64, seed=900)
    common = {**SMALL, "target_rank": RANK, "rounds": 2, "dataset_dir": str(tmp_path / "films")}
    states = []
    for names in (["one"], ["one", "two"]):
        federation = Federation("equal", {name: {} for name in names}, tmp_path / str(len(names)), ROOT, common)
        server, _ = federation.run_stage(1)
        states.append(server.network.state_dict())
    start = configured_server(federation.server_config(1), 1)
    save_weights({"model": start.network.state_dict()}, tmp_path / "start.pt")
    plain = {key: common[key] for key in common if key not in ("rounds", "qat_rounds", "local_epochs", "dataset_dir")}
    plain |= {"epochs": 2, "start_weights": str(tmp_path / "start.pt")}
    states.append(run_stage1_alone(tmp_path / "films", tmp_path, **plain))
    for other in states[1:]:
        torch.testing.assert_close(dict(other), dict(states[0]), rtol=1e-4, atol=1e-6)
    moved = states[0]["image_encoder.blocks.0.attn.qkv.adapter_lambda"]
    assert moved.abs().max() > 1e-4


def test_filters_of_a_host_see_what_is_exchanged(hospitals, tmp_path):
    """MonaiAlgo's own filter configuration still works: here one that prints the summary of a message."""
    (tmp_path / "filters.yaml").write_text(
        "post_weight_filters:\n- _target_: monai.fl.utils.filters.SummaryFilter\n", encoding="utf-8"
    )
    from scripts.federated import Site

    settings = {**SMALL, "dataset_dir": str(hospitals), "datasets": ["film"], "output_dir": str(tmp_path)}
    files = ["configs/train.yaml", "configs/federated_stage1.yaml"]
    site = Site(str(ROOT), files, settings, config_filters_filename=str(tmp_path / "filters.yaml"))
    site.initialize()
    names = [type(each).__name__ for each in site.post_weight_filters]
    assert names == ["ToServer", "SummaryFilter"]
    sent = site.get_weights().weights
    assert set(exchanged_state(site.trainer.network)) < set(sent)
    foreign = ExchangeObject(weights={"image_encoder.patch_embed.proj.weight": torch.zeros(1)})
    with pytest.raises(BundleError, match="the server sent no"):
        site.evaluate(foreign)


def test_sizes_are_of_raw_tensors_and_little_beside_them():
    stage1, stage2, base = small_sam(), stage2_network(), small_sam()
    sizes = exchange_sizes(stage1, stage2, base)
    assert sizes["stage 1, down"] < sizes["stage 1, up"] and sizes["stage 2, down"] < sizes["stage 2, up"]
    contents = {"stage 1, down": exchanged_state(stage1), "stage 2, down": exchanged_state(stage2)}
    for name, content in {**contents, "full fine-tuning, each way": base.state_dict()}.items():
        raw = sum(value.numel() * value.element_size() for value in content.values())
        assert raw < sizes[name] < raw + 500 * (len(content) + 2), name


def test_sizes_prune_to_the_target_rank_of_every_projection():
    pruned = prune_evenly(small_sam(rank=4), 3)
    assert [layer.ranks for layer in adapted_layers(pruned).values()] == [(3, 3, 3), (3, 3, 3)]


def test_one_data_set_is_no_federation(tmp_path):
    write_phantoms(tmp_path, 2, size=64)
    with pytest.raises(BundleError, match="holds the data set 'phantom' alone; name the sites with --sites"):
        sites_of(tmp_path)


def test_simulation_scores_every_model_at_every_site(hospitals, tmp_path):
    settings = {**SMALL, "dataset_dir": str(hospitals), "rounds": 1, "qat_rounds": 1}
    Simulation(sites_of(hospitals), tmp_path, ROOT, settings).run()
    content = json.loads((tmp_path / "federated.json").read_text())
    names = ["federated", "digital alone", "film alone", "pooled"]
    assert [(row["federation"], row["site"]) for row in content["scores"]] == [
        (name, site) for name in names for site in ("digital", "film")
    ]
    images = {row["federation"]: row["images"] for row in content["scores"]}
    assert images["federated"] == images["pooled"] == images["digital alone"] + images["film alone"]
    assert all(0 < row["dice"] <= 1 for row in content["scores"])
    text = (tmp_path / "federated.md").read_text()
    assert all(f"| {name} |" in text for name in names)
