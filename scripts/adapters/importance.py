"""Importance of triplets: smoothed sensitivity times uncertainty (AdaLoRA, eqs. 8 to 11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from .layer import AdaLoRALinear


def smooth(averages: list[torch.Tensor], values: list[torch.Tensor], beta: float) -> None:
    """Exponential moving averages in place: average <- beta average + (1 - beta) value."""
    torch._foreach_mul_(averages, beta)
    torch._foreach_add_(averages, values, alpha=1 - beta)


@torch.no_grad()
def update(parts: Sequence[ParameterImportance]) -> None:
    """Take in the present values and gradients of many parameters at once, which share their smoothing.

    A parameter without gradient counts as insensitive.
    """
    parameters = [part.parameter for part in parts]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    sensitivities = [part.sensitivity for part in parts]
    now = torch._foreach_mul(parameters, gradients)
    torch._foreach_abs_(now)
    smooth(sensitivities, now, parts[0].beta1)
    torch._foreach_sub_(now, sensitivities)
    torch._foreach_abs_(now)
    smooth([part.uncertainty for part in parts], now, parts[0].beta2)


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

    def score(self) -> torch.Tensor:
        """R scores: that of lambda plus the means over its left and right singular vector."""
        P, Q = self.parts["adapter_P"].score(), self.parts["adapter_Q"].score()
        return self.parts["adapter_lambda"].score() + P.mean(dim=0) + Q.mean(dim=1)

    def tensors(self) -> dict[str, torch.Tensor]:
        return {f"{name}.{kind}": t for name, part in self.parts.items() for kind, t in part.tensors().items()}
