"""INT8 quantization-aware training: arithmetic, observers, fake quantizers and the precision policy."""

from .fake_quantizers import ActivationFakeQuantizer, WeightFakeQuantizer
from .layers import FakeQuantizedLayer
from .network import activation_quantizers, calibrate, check_policy, prepare, quantized_layers
from .policy import Precision, PrecisionPolicy

__all__ = [
    "ActivationFakeQuantizer",
    "FakeQuantizedLayer",
    "Precision",
    "PrecisionPolicy",
    "WeightFakeQuantizer",
    "activation_quantizers",
    "calibrate",
    "check_policy",
    "prepare",
    "quantized_layers",
]
