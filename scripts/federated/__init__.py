"""Federated training: sites exchange what trains, through MONAI's `MonaiAlgo`, and the server decides rank masks."""

from .exchange import check_exchange, exchanged_state, from_bytes, frozen_fingerprint, to_bytes
from .federation import Federation
from .server import Server
from .simulation import Simulation, sites_of
from .site import CalibrationRound, Site, SiteAllocator
from .sizes import print_sizes

__all__ = [
    "CalibrationRound",
    "Federation",
    "Server",
    "Simulation",
    "Site",
    "SiteAllocator",
    "check_exchange",
    "exchanged_state",
    "from_bytes",
    "frozen_fingerprint",
    "print_sizes",
    "sites_of",
    "to_bytes",
]
