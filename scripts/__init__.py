"""AdaLoRA-QAT for chest X-ray segmentation: the Python side of this MONAI bundle.

Packages import downward only: ``sam`` (base models) <- ``adapters`` <- ``quantization`` <- ``parameters``,
``stages``, ``handlers`` (training), ``domains``, ``runtime`` (what runs a finished network) <- ``export`` <-
``benchmark``. ``federated`` drives the configs of sites. ``films`` (a file becomes a canonical film, and a mask goes
back; neither torch nor MONAI) <- ``data`` (training data; transforms that wrap ``films``) <- ``evaluation`` <-
``study``; ``data`` <- ``output`` (what becomes of a prediction), ``datasets`` (published data sets as one manifest),
``robustness`` (films in every form that hospitals hold them) and ``film_classifier`` (trains the network that looks
at polarity and pose; it takes ``quantization``'s arithmetic). ``release`` lists what ships, and ``sam`` asks it for
hashes. ``errors``, ``files``, ``documents`` (what people write), ``settings`` (what is typed), ``losses``,
``inferers``, ``phantoms`` and ``reporting`` (pictures) need none of these.
"""
