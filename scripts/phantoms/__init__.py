"""Chest-radiograph phantoms with exact masks: drawn from anatomy, not from any image."""

from .generator import Phantom, generate_phantom
from .storage import contact_sheet, write_detectors, write_phantoms

__all__ = ["Phantom", "contact_sheet", "generate_phantom", "write_detectors", "write_phantoms"]
