"""Mixed precision of training steps."""

from __future__ import annotations

import pytest
import torch
from conftest import small_sam
from torch import nn

from scripts.errors import BundleError
from scripts.inferers import MixedPrecisionInferer


class Spy(nn.Module):
    """Remembers in which type its product was computed."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x):
        product = self.linear(x)
        self.dtype = product.dtype
        return product


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_products_are_of_the_precision_and_logits_and_gradients_float32(precision, dtype):
    network = Spy()
    logits = MixedPrecisionInferer(precision)(torch.rand(3, 4), network)
    logits.sum().backward()
    assert network.dtype == dtype
    assert logits.dtype == network.linear.weight.grad.dtype == torch.float32


def test_bfloat16_gradients_of_the_adapters_are_those_of_float32_to_rounding():
    network = small_sam()
    for name, parameter in network.named_parameters():
        if name.endswith("adapter_lambda"):
            nn.init.ones_(parameter)
    image, boxes = torch.rand(2, 1, 64, 64), torch.tensor([[4.0, 4.0, 60.0, 60.0]] * 2)
    gradients = []
    for precision in ("float32", "bfloat16"):
        network.zero_grad()
        MixedPrecisionInferer(precision)(image, network, boxes).square().mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for n, p in network.named_parameters() if ".adapter_" in n]))
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.99
    assert not torch.equal(*gradients)


def test_unknown_precision_is_named():
    with pytest.raises(BundleError, match="'float8'.*float32, bfloat16"):
        MixedPrecisionInferer("float8")
