"""INT8: arithmetic, observers, fake quantizers, the precision policy, and the integers that ship."""

from .fake_quantizers import ActivationFakeQuantizer, WeightFakeQuantizer
from .integer import IntegerLayer, integer_layers, integer_network, real_weights, to_integer
from .layers import FakeQuantizedLayer
from .network import activation_quantizers, calibrate, check_policy, prepare, quantized_layers
from .policy import Precision, PrecisionPolicy

__all__ = [
    "ActivationFakeQuantizer",
    "FakeQuantizedLayer",
    "IntegerLayer",
    "Precision",
    "PrecisionPolicy",
    "WeightFakeQuantizer",
    "activation_quantizers",
    "calibrate",
    "check_policy",
    "integer_layers",
    "integer_network",
    "prepare",
    "quantized_layers",
    "real_weights",
    "to_integer",
]
