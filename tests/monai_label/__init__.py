"""MONAI Label, with a real server."""
