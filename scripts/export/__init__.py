"""From the network to the INT8 artefact: ONNX graphs of encoder and decoder, and their checks."""

from .agreement import agreement
from .artefact import export_artefact
from .graphs import export_graphs, integer_nodes

__all__ = ["agreement", "export_artefact", "export_graphs", "integer_nodes"]
