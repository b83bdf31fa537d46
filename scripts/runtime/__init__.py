"""What runs the finished network: torch, or the INT8 artefact on ONNX Runtime or OpenVINO."""

from .manifest import read_manifest
from .network import RuntimeSAM, in_torch, load_network

__all__ = ["RuntimeSAM", "in_torch", "load_network", "read_manifest"]
