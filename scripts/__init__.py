"""AdaLoRA-QAT for chest X-ray segmentation: the Python side of this MONAI bundle.

Packages import downward only: ``sam`` (base models) <- ``adapters`` <- ``quantization`` <- ``parameters``, ``losses``,
``handlers`` <- ``data`` <- ``evaluation``. ``errors``, ``files``, ``phantoms`` and ``reporting``
(pictures) need none of these.
"""
