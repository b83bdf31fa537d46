"""Mixed precision, gradient checkpointing and accumulation leave the importance of triplets what it is."""

from __future__ import annotations

import pytest
import torch
from conftest import QKV, ROOT

from scripts.adapters import RankAllocator, RankSchedule, adapt, adapted_layers, rank_budget
from scripts.inferers import MixedPrecisionInferer
from scripts.losses import DiceBCELoss
from scripts.sam import build_sam

IMAGES = 8


def importance(precision: str = "float32", checkpointing: bool = False, pieces: int = 1) -> torch.Tensor:
    """Scores of all triplets after six steps of stage 1 on one batch, given in `pieces` mini-batches."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(IMAGES, 1, 64, 64, generator=generator)
    labels = (torch.rand(IMAGES, 1, 64, 64, generator=generator) > 0.5).float()
    torch.manual_seed(0)
    weights = ROOT / "models" / "sam_vit_ti_phantom.pt"
    base = build_sam("vit_ti", 64, window_size=4, gradient_checkpointing=checkpointing, weights=weights)
    network = adapt(base, QKV, rank=4, alpha=8).train()
    layers = adapted_layers(network)
    for layer in layers.values():
        layer.adapter_lambda.data.normal_(std=0.1)
    total = rank_budget(network)
    allocator = RankAllocator(layers, RankSchedule(total, total, 20, warmup=1, final=1))
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.01)
    optimizer.register_step_post_hook(lambda *_: allocator.step())
    infer, loss = MixedPrecisionInferer(precision), DiceBCELoss()
    for _ in range(6):
        optimizer.zero_grad()
        for image, label in zip(images.chunk(pieces), labels.chunk(pieces)):
            (loss(infer(image, network), label) / pieces).backward()
        optimizer.step()
    return torch.cat([part.score() for part in allocator.importance.values()])


@pytest.fixture(scope="module")
def plain() -> torch.Tensor:
    scores = importance()
    assert (scores > 0).all()
    return scores


@pytest.mark.parametrize("pieces", [2, 4])
def test_accumulated_gradients_score_as_the_large_batch(plain, pieces):
    torch.testing.assert_close(importance(pieces=pieces), plain, rtol=2e-3, atol=0)


def test_recomputed_activations_score_the_same(plain):
    torch.testing.assert_close(importance(checkpointing=True), plain, rtol=1e-5, atol=0)


def test_bfloat16_scores_in_float32_and_nearly_the_same(plain):
    """bfloat16 has 8 bits of mantissa: gradients are off by a few percent, products of two averages by about ten."""
    scores = importance(precision="bfloat16")
    assert scores.dtype == torch.float32 and torch.isfinite(scores).all()
    relative = (scores / plain - 1).abs()
    assert 0.001 < relative.median() < 0.2
    assert torch.corrcoef(torch.stack([scores.log(), plain.log()]))[0, 1] > 0.99


def test_all_three_together_still_rank_the_triplets_alike(plain):
    scores = importance("bfloat16", checkpointing=True, pieces=4)
    kept, expected = (set(values.topk(len(values) // 2).indices.tolist()) for values in (scores, plain))
    assert len(kept & expected) >= 0.9 * len(expected)
