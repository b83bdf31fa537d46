"""AdaLoRA-QAT for chest X-ray segmentation: the Python side of this MONAI bundle.

Packages import downward only: ``sam`` (base models) <- ``adapters`` <- ``quantization`` <- ``parameters``, ``stages``,
``handlers`` (training), ``runtime`` (what runs a finished network) <- ``export``. ``data`` <- ``evaluation`` <-
``study`` know no network. ``errors``, ``files``, ``losses``, ``inferers``, ``phantoms`` and ``reporting`` (pictures)
need none of these.
"""
