"""AdaLoRA-QAT for chest X-ray segmentation: the Python side of this MONAI bundle.

Packages import downward only: ``sam`` (base models) <- ``adapters`` <- ``quantization`` <- ``parameters``, ``stages``,
``handlers`` (training), ``domains``, ``runtime`` (what runs a finished network) <- ``export`` <- ``benchmark``.
``federated`` drives the configs of sites. ``data`` <- ``evaluation`` <- ``study``, ``data`` <- ``output`` (what becomes
of a prediction) and ``data`` <- ``datasets`` (published data sets as one manifest) know no network; ``release`` lists
what ships, and ``sam`` asks it for hashes. ``errors``, ``files``, ``documents`` (what people write), ``settings`` (what
is typed), ``losses``, ``inferers``, ``phantoms`` and ``reporting`` (pictures) need none of these.
"""
