"""Fake quantizers: round to the integer grid in the forward pass, straight-through in the backward pass."""

from __future__ import annotations

import torch
from torch import nn

from .observers import MinMaxObserver
from .qparams import affine_qparams, signed_range, symmetric_scale, unsigned_range
from .straight_through import RoundActivation, RoundWeight


class WeightFakeQuantizer(nn.Module):
    """Symmetric, per output channel, with the scale of the present weight.

    Attributes:
        width: the bits as a constant of the build: a checkpoint of another width is refused.

    Args:
        bits: width of the signed integers.
        axis: output channel axis of the weight.
    """

    constants = ("width",)

    def __init__(self, bits: int, axis: int) -> None:
        super().__init__()
        self.bits = bits
        self.register_buffer("width", torch.tensor(bits))
        self.axis = axis

    def scale(self, weight: torch.Tensor) -> torch.Tensor:
        """One scale for each output channel; no gradient flows through it."""
        return symmetric_scale(weight.detach(), self.bits, self.axis)

    def forward(self, weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """The weight on the grid of `scale`, which must be its own."""
        shape = [-1 if axis == self.axis else 1 for axis in range(weight.ndim)]
        return RoundWeight.apply(weight, scale.view(shape), *signed_range(self.bits))

    def extra_repr(self) -> str:
        return f"bits={self.bits}, axis={self.axis}"


class ActivationFakeQuantizer(nn.Module):
    """Affine, per tensor, with a range that is calibrated and then trained.

    Passes activations through until it is calibrated or a calibrated state is loaded.

    Attributes:
        low, high: the range, shape [1]; trained by the straight-through estimator of LSQ+ (Bhalgat et al. 2020):
            inside the range the rounding error, outside it the clipping bound carries the gradient.
        width: the bits as a constant of the build: a checkpoint of another width is refused.

    Args:
        bits: width of the unsigned integers.
    """

    constants = ("width",)

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.register_buffer("width", torch.tensor(bits))
        self.low = nn.Parameter(torch.full((1,), -1.0))
        self.high = nn.Parameter(torch.full((1,), 1.0))
        self.register_buffer("calibrated", torch.zeros((), dtype=torch.bool))
        self.active = False  # mirrors `calibrated` in Python: reading the buffer would synchronise a GPU every call
        self.observer: MinMaxObserver | None = None

    def qparams(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale and unrounded zero point, shape [1]."""
        return affine_qparams(self.low, self.high, self.bits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x` on the grid of the range, of the same shape and type."""
        if self.observer is not None:
            self.observer.observe(x)
            return x
        if not self.active:
            return x
        scale, zero_point = self.qparams()
        first, last = unsigned_range(self.bits)
        if x.is_cuda:
            on_grid = torch._fake_quantize_learnable_per_tensor_affine(x.float(), scale, zero_point, first, last, 1.0)
        else:
            on_grid = RoundActivation.apply(x.float(), scale, zero_point, first, last)
        return on_grid.to(x.dtype)

    def start_observing(self, observer: MinMaxObserver) -> None:
        self.observer = observer

    @torch.no_grad()
    def finish_observing(self) -> None:
        """Take over the observed range and quantize from now on."""
        low, high = self.observer.range()
        self.low.fill_(low.clamp(max=0))
        self.high.fill_(high.clamp(min=0))
        self.calibrated.fill_(True)
        self.active, self.observer = True, None

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.active = bool(self.calibrated)

    def extra_repr(self) -> str:
        return f"bits={self.bits}, low={self.low.item():.4g}, high={self.high.item():.4g}, active={self.active}"
