"""What the form in which a film is stored costs: films in every form that hospitals hold them, and their scores."""

# Each adds its forms to the registry, in the order of the tables
from . import forms_raster  # isort: skip  # noqa: F401
from . import forms_windows  # isort: skip  # noqa: F401
from . import forms_luts  # isort: skip  # noqa: F401
from . import forms_bits  # isort: skip  # noqa: F401
from . import forms_detector  # isort: skip  # noqa: F401
from . import forms_pose  # isort: skip  # noqa: F401
from . import forms_nifti  # isort: skip  # noqa: F401
from . import forms_pixels  # isort: skip  # noqa: F401
from . import forms_field  # isort: skip  # noqa: F401
from . import forms_looking  # isort: skip  # noqa: F401
from .forms import FORMS, Form, Variant
from .scoring import score
from .segmenting import segment
from .writing import choose_films, write

__all__ = ["FORMS", "Form", "Variant", "choose_films", "score", "segment", "write"]
