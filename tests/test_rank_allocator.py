"""Rank allocation, step by step against PEFT's AdaLoRA."""

from __future__ import annotations

import copy

import peft
import pytest
import torch
from peft.tuners.adalora.layer import RankAllocator as PeftAllocator
from torch import nn

from scripts.adapters import AdaLoRALinear, ConstantBudget, RankAllocator, RankSchedule
from scripts.errors import BundleError

RANK, TARGET, TOTAL, WARMUP, FINAL, INTERVAL = 6, 2, 40, 5, 10, 3


class Tiny(nn.Module):
    """Three layers of different shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 12), nn.Linear(12, 10), nn.Linear(10, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(self.b(self.a(x)).relu())


def peft_model() -> nn.Module:
    config = peft.AdaLoraConfig(
        init_r=RANK,
        target_r=TARGET,
        tinit=WARMUP,
        tfinal=FINAL,
        deltaT=INTERVAL,
        beta1=0.85,
        beta2=0.85,
        total_step=TOTAL,
        target_modules=["a", "b", "c"],
        lora_alpha=RANK,
    )
    return peft.get_peft_model(Tiny(), config)


def schedule(**changes) -> RankSchedule:
    numbers = {"initial": 3 * RANK, "target": 3 * TARGET, "total": TOTAL, "warmup": WARMUP, "final": FINAL}
    return RankSchedule(**{**numbers, "interval": INTERVAL, **changes})


def step_both(seed: int):
    """PEFT's AdaLoRA and ours, given the same parameters and gradients: yields (step, PEFT's lambda, our layers)."""
    torch.manual_seed(seed)
    model, tiny = peft_model(), Tiny()
    ours = {name: AdaLoRALinear(getattr(tiny, name), ["out"], RANK) for name in "abc"}
    theirs = {name: getattr(model.base_model.model, name) for name in "abc"}
    allocator = RankAllocator(ours, schedule())
    for step in range(1, TOTAL + 1):
        for name in "abc":
            for their, our in (
                (theirs[name].lora_A["default"], ours[name].adapter_Q),
                (theirs[name].lora_B["default"], ours[name].adapter_P),
                (theirs[name].lora_E["default"], ours[name].adapter_lambda),
            ):
                # As after an optimiser step, and the gradient that it used.
                our.data += torch.randn_like(our) * 0.1
                our.grad = torch.randn_like(our)
                their.data.copy_(our.data.view_as(their))
                their.grad = our.grad.view_as(their).clone()
        model.base_model.update_and_allocate(step)
        allocator.step()
        yield step, {name: layer.lora_E["default"].data[:, 0] for name, layer in theirs.items()}, ours
    assert allocator.finished and allocator.budget == 3 * TARGET


@pytest.mark.parametrize("seed", range(4))
def test_masks_equal_pefts_at_every_step_of_the_decay(seed):
    masks = []
    for step, their_lambda, ours in step_both(seed):
        if step < TOTAL - FINAL:
            for name, layer in ours.items():
                assert torch.equal(layer.adapter_lambda.data, their_lambda[name]), f"step {step}, layer {name}"
        masks.append(torch.cat([layer.rank_mask for layer in ours.values()]).clone())
    # The comparison means something: masks change often, and layers end with different ranks.
    assert sum(not torch.equal(one, next_) for one, next_ in zip(masks, masks[1:])) >= 3
    assert len({int(layer.rank_mask.sum()) for layer in ours.values()}) > 1


def test_final_masks_equal_pefts():
    for seed in range(8):
        for step, their_lambda, ours in step_both(seed):
            if step >= TOTAL - FINAL:
                for name, layer in ours.items():
                    assert torch.equal(layer.adapter_lambda.data, their_lambda[name]), f"seed {seed}, step {step}"


def test_budget_equals_pefts_schedule():
    model = peft_model()
    theirs = PeftAllocator(model.base_model.model, model.peft_config["default"], "default")
    ours = schedule()
    assert theirs.init_bgt == ours.initial
    for step in range(1, TOTAL + 1):
        budget, renew = theirs.budget_schedule(step)
        assert ours.budget(step) == budget
        if step < TOTAL - FINAL:  # from there on PEFT applies its stored pattern instead
            assert ours.renews(step) == renew


def test_budget_only_falls_and_ends_at_the_target():
    budgets = [schedule(interval=1).budget(step) for step in range(1, TOTAL + 1)]
    assert budgets[:WARMUP] == [18] * WARMUP and budgets[-FINAL:] == [6] * FINAL
    assert all(later <= earlier for earlier, later in zip(budgets, budgets[1:]))


def layer_with_gradients(rank: int = 4) -> AdaLoRALinear:
    torch.manual_seed(1)
    layer = AdaLoRALinear(nn.Linear(6, 6), ["q", "k"], rank)
    layer.adapter_lambda.data.normal_()
    return layer


def test_importance_by_hand():
    """One parameter entry: sensitivity s = |p g|, I = 0.15 s, U = 0.15 |s - I|, score I U; then smoothed once more."""
    layer = AdaLoRALinear(nn.Linear(2, 2), ["out"], 1)
    allocator = RankAllocator({"x": layer}, RankSchedule(1, 1, 10, 2, 2))
    for values in ((2.0, 3.0), (1.0, -4.0)):
        layer.adapter_lambda.data.fill_(values[0])
        layer.adapter_lambda.grad = torch.tensor([values[1]])
        allocator.step()
    first = 0.15 * 6.0
    second = 0.85 * first + 0.15 * 4.0
    uncertainty = 0.85 * 0.15 * abs(6.0 - first) + 0.15 * abs(4.0 - second)
    part = allocator.importance["x"].parts["adapter_lambda"]
    assert float(part.sensitivity) == pytest.approx(second)
    assert float(part.uncertainty) == pytest.approx(uncertainty)
    # P and Q have no gradient: the triplet's score is that of lambda.
    assert float(allocator.importance["x"].score()) == pytest.approx(second * uncertainty)


def test_triplets_importance_is_lambdas_plus_the_means_over_its_two_vectors():
    layer = layer_with_gradients()
    allocator = RankAllocator({"x": layer}, RankSchedule(8, 8, 10, 2, 2))
    for parameter in (layer.adapter_P, layer.adapter_lambda, layer.adapter_Q):
        parameter.grad = torch.randn_like(parameter)
    allocator.step()

    def score(value, gradient):  # the first step of both averages, in double precision
        now = abs(float(value) * float(gradient))
        return 0.15 * now * 0.15 * abs(now - 0.15 * now)

    P, d, Q = layer.adapter_P, layer.adapter_lambda, layer.adapter_Q
    for i in range(8):
        left = [score(p, g) for p, g in zip(P[:, i], P.grad[:, i])]
        right = [score(q, g) for q, g in zip(Q[i], Q.grad[i])]
        expected = score(d[i], d.grad[i]) + sum(left) / len(left) + sum(right) / len(right)
        assert float(allocator.importance["x"].score()[i]) == pytest.approx(expected, rel=1e-4)


def test_least_important_triplet_goes_first_whatever_its_layer():
    """Three of eight triplets never get a gradient: they are the ones a budget of five drops."""
    layers = {name: AdaLoRALinear(nn.Linear(6, 6), ["out"], 4) for name in "ab"}
    allocator = RankAllocator(layers, RankSchedule(8, 5, 6, 1, 2))
    dead = {"a": [1], "b": [0, 3]}
    for _ in range(6):
        for name, layer in layers.items():
            layer.adapter_lambda.data.fill_(1.0)
            for parameter in (layer.adapter_P, layer.adapter_lambda, layer.adapter_Q):
                parameter.grad = torch.rand_like(parameter) + 0.5
            layer.adapter_P.grad[:, dead[name]] = 0
            layer.adapter_lambda.grad[dead[name]] = 0
            layer.adapter_Q.grad[dead[name]] = 0
        allocator.step()
    for name, layer in layers.items():
        assert (~layer.rank_mask).nonzero().flatten().tolist() == dead[name]


def test_warmup_leaves_every_triplet_and_schedule_fractions_count_steps():
    assert RankSchedule.from_fractions(18, 6, 40, 0.125, 0.25, 3) == schedule()
    for step, _, ours in step_both(0):
        if step <= WARMUP:
            assert all(layer.rank_mask.all() for layer in ours.values())


def test_constant_budget_moves_masks_from_the_first_renewal_on():
    constant = ConstantBudget.from_fractions(18, 6, 40, 0.125, 0.25, 3)
    assert {constant.budget(step) for step in range(1, 41)} == {6}
    assert [step for step in range(1, 41) if constant.renews(step)] == [
        step for step in range(1, 41) if schedule().renews(step)
    ]


def test_masked_triplets_may_return_until_the_schedule_ends():
    layer = layer_with_gradients()
    allocator = RankAllocator({"x": layer}, RankSchedule(8, 4, 30, 2, 10, interval=1))
    returned = 0
    before = layer.rank_mask.clone()
    frozen = None
    for step in range(1, 31):
        for parameter in (layer.adapter_P, layer.adapter_lambda, layer.adapter_Q):
            parameter.grad = torch.randn_like(parameter)
            parameter.data += 0.2 * torch.randn_like(parameter)
        allocator.step()
        returned += int((layer.rank_mask & ~before).sum())
        before = layer.rank_mask.clone()
        if step >= 20:
            frozen = before if frozen is None else frozen
            assert torch.equal(layer.rank_mask, frozen)
            assert (layer.adapter_lambda[~layer.rank_mask] == 0).all()
    assert returned > 0


def scores_of_accumulated_training(pieces: int) -> torch.Tensor:
    """Importance after 12 optimiser steps whose batch of 8 came in `pieces` mini-batches."""
    data = torch.randn(8, 6, generator=torch.Generator().manual_seed(5))
    layer = layer_with_gradients()
    allocator = RankAllocator({"x": layer}, RankSchedule(8, 3, 12, 2, 3, interval=1))
    optimizer = torch.optim.SGD([layer.adapter_P, layer.adapter_lambda, layer.adapter_Q], lr=0.1)
    optimizer.register_step_post_hook(lambda *_: allocator.step())
    for _ in range(12):
        optimizer.zero_grad()
        for part in data.chunk(pieces):
            (layer(part).square().mean() / pieces).backward()
        optimizer.step()
    assert allocator.steps == 12 and allocator.budget == 3
    return allocator.importance["x"].score()


@pytest.mark.parametrize("pieces", [2, 4])
def test_importance_sees_accumulated_gradients(pieces):
    """Stepping from the optimiser's post-step hook, k mini-batches count as the one large batch they make up."""
    one = scores_of_accumulated_training(1)
    torch.testing.assert_close(scores_of_accumulated_training(pieces), one, rtol=1e-3, atol=1e-12)


def test_saved_allocator_continues_to_the_same_masks():
    def advance(allocator, layer, steps, seed):
        generator = torch.Generator().manual_seed(seed)
        for _ in range(steps):
            for parameter in (layer.adapter_P, layer.adapter_lambda, layer.adapter_Q):
                parameter.grad = torch.randn(parameter.shape, generator=generator)
                parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
            allocator.step()

    plan = RankSchedule(8, 3, 20, 2, 5, interval=1)
    layer = layer_with_gradients()
    allocator = RankAllocator({"x": layer}, plan)
    advance(allocator, layer, 9, 1)
    saved, other = copy.deepcopy(allocator.state_dict()), copy.deepcopy(layer)
    resumed = RankAllocator({"x": other}, plan)
    resumed.load_state_dict(saved)
    advance(allocator, layer, 11, 2)
    advance(resumed, other, 11, 2)
    assert torch.equal(layer.rank_mask, other.rank_mask)
    assert torch.equal(layer.adapter_lambda, other.adapter_lambda)


def test_state_of_another_network_is_refused():
    first = RankAllocator({"x": layer_with_gradients()}, RankSchedule(8, 3, 20, 2, 5))
    second = RankAllocator({"y": layer_with_gradients()}, RankSchedule(8, 3, 20, 2, 5))
    with pytest.raises(BundleError, match="other adapted layers"):
        second.load_state_dict(first.state_dict())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": 19}, "19"),
        ({"target": -1}, "-1"),
        ({"warmup": 30}, "leave nothing of 40"),
        ({"interval": 0}, "interval"),
        ({"warmup": -1}, "negative"),
    ],
)
def test_impossible_schedules_are_refused(changes, message):
    with pytest.raises(BundleError, match=message):
        schedule(**changes)


def test_allocator_refuses_a_network_it_does_not_match():
    with pytest.raises(BundleError, match="no adapted layers"):
        RankAllocator({}, schedule())
    with pytest.raises(BundleError, match="18 triplets, the network has 8"):
        RankAllocator({"x": layer_with_gradients()}, schedule())
    with pytest.raises(BundleError, match="1.5"):
        RankAllocator({"x": layer_with_gradients()}, RankSchedule(8, 3, 20, 2, 5), beta1=1.5)
