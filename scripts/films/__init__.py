"""From a file to a canonical film and back: values, pose, shape of the pixels, exposed field.

Needs NumPy, SciPy, Pillow, pydicom and nibabel alone: no torch, no MONAI.
"""
