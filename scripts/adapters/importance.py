"""Importance of triplets: smoothed sensitivity times uncertainty (AdaLoRA, eqs. 8 to 11)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from .layer import AdaLoRALinear


def smooth(average: torch.Tensor, value: torch.Tensor, beta: float) -> None:
    """Exponential moving average in place: average <- beta average + (1 - beta) value."""
    average.mul_(beta).add_(value, alpha=1 - beta)


class ParameterImportance:
    """Smoothed sensitivity |p grad p| and its uncertainty, entry by entry of one parameter.

    Args:
        parameter: whose gradient is read at each `update`.
        beta1, beta2: smoothing of sensitivity and of uncertainty, in 0..1.
    """

    def __init__(self, parameter: torch.nn.Parameter, beta1: float, beta2: float) -> None:
        self.parameter = parameter
        self.beta1 = beta1
        self.beta2 = beta2
        self.sensitivity = torch.zeros_like(parameter, requires_grad=False)
        self.uncertainty = torch.zeros_like(parameter, requires_grad=False)

    @torch.no_grad()
    def update(self) -> None:
        """Take in the present value and gradient. A parameter without gradient counts as insensitive."""
        gradient = self.parameter.grad
        now = torch.zeros_like(self.parameter) if gradient is None else (self.parameter * gradient).abs()
        smooth(self.sensitivity, now, self.beta1)
        smooth(self.uncertainty, (now - self.sensitivity).abs(), self.beta2)

    def score(self) -> torch.Tensor:
        """Importance of every entry, in the shape of the parameter."""
        return self.sensitivity * self.uncertainty

    def tensors(self) -> Mapping[str, torch.Tensor]:
        return {"sensitivity": self.sensitivity, "uncertainty": self.uncertainty}


class TripletImportance:
    """Importance of the R triplets of one adapted layer."""

    def __init__(self, layer: AdaLoRALinear, beta1: float, beta2: float) -> None:
        self.parts = {
            name: ParameterImportance(getattr(layer, name), beta1, beta2)
            for name in ("adapter_lambda", "adapter_P", "adapter_Q")
        }

    def update(self) -> None:
        for part in self.parts.values():
            part.update()

    def score(self) -> torch.Tensor:
        """R scores: that of lambda plus the means over its left and right singular vector."""
        P, Q = self.parts["adapter_P"].score(), self.parts["adapter_Q"].score()
        return self.parts["adapter_lambda"].score() + P.mean(dim=0) + Q.mean(dim=1)

    def tensors(self) -> dict[str, torch.Tensor]:
        return {f"{name}.{kind}": t for name, part in self.parts.items() for kind, t in part.tensors().items()}
