"""Gradient accumulation: k mini-batches are the one large batch that they make up."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedTrainer
from torch import nn

from scripts.handlers import AccumulatedMean, LearningRate
from scripts.handlers.accumulation import mini_batch_weight

IMAGES = 11  # neither a multiple of the mini-batch nor of the step


def train(batch_size: int, accumulation_steps: int) -> tuple[torch.Tensor, list[float], list[float]]:
    """Weights, learning rates of the steps and losses of the mini-batches after three epochs of Adam."""
    points = torch.Generator().manual_seed(1)
    items = [
        {"image": torch.rand(3, generator=points), "label": torch.rand(1, generator=points)} for _ in range(IMAGES)
    ]
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    loader = DataLoader(Dataset(items), batch_size=batch_size)
    steps = 3 * -(-len(loader) // accumulation_steps)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    rates, losses = [], []
    optimizer.register_step_pre_hook(lambda *_: rates.append(optimizer.param_groups[0]["lr"]))
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=3,
        train_data_loader=loader,
        network=network,
        optimizer=optimizer,
        loss_function=nn.MSELoss(),
        accumulation_steps=accumulation_steps,
        decollate=False,
        train_handlers=[AccumulatedMean(), LearningRate(scheduler, optimizer)],
    )
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: losses.append(float(e.state.output["loss"])))
    trainer.run()
    return torch.cat([p.detach().flatten() for p in network.parameters()]), rates, losses


@pytest.mark.parametrize(("batch_size", "accumulation_steps"), [(2, 2), (1, 4), (2, 3), (4, 2)])
def test_accumulated_steps_equal_the_large_batch_to_the_last_incomplete_one(batch_size, accumulation_steps):
    weights, rates, _ = train(batch_size, accumulation_steps)
    expected, expected_rates, _ = train(batch_size * accumulation_steps, 1)
    assert rates == pytest.approx(expected_rates) and len(rates) == len(expected_rates)
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-5)


def test_loss_in_the_log_is_that_of_the_mini_batch():
    """Mini-batches of one image: their mean is that of the large batch while weights are the same."""
    _, _, single = train(1, 4)
    _, _, large = train(4, 1)
    assert sum(single[:4]) / 4 == pytest.approx(large[0])
    assert len(single) == 3 * IMAGES


def test_weights_of_mini_batches_by_hand():
    weights = [
        mini_batch_weight(place, accumulation_steps=3, batch_size=4, images=18) for place in range(5)
    ]  # 4 4 4 | 4 2
    assert weights == pytest.approx([1, 1, 1, 3 * 4 / 6, 3 * 2 / 6])
