"""How a feature ends on a rank: it returned a value, or it raised."""

import traceback
import warnings
from contextlib import contextmanager


@contextmanager
def expected_warnings(feature):
    """Every warning is an error but those that torch is known to give."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for pattern in feature.warns:
            warnings.filterwarnings("ignore", message=pattern)
        yield


def raised(error):
    """How a rank ended that raised."""
    return ("raised", f"{type(error).__name__}: {error}", traceback.format_exc())
