"""The border between pydicom, highdicom and this package: what they raise, warn of and log stays behind it.

Their texts quote the values of a header, and so the patient's name: none of them is repeated.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike

from gliomaseg.errors import FormatError, GliomasegError, MissingExtraError, ResourceError

_LOGGERS = ("pydicom", "highdicom")
_CURE = "copy or export it again"


@contextmanager
def translated_errors(where: str | PathLike[str]) -> Iterator[None]:
    """Turn whatever is raised into one typed line about `where`, and keep warnings and logs silent.

    Raises:
        FormatError: the file cannot be opened, is damaged, or nests its sequences too deeply.
        MissingExtraError: a library of the extra `dicom` is not installed.
        ResourceError: the memory does not suffice.
    """
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except GliomasegError:
        raise
    except ImportError as fault:
        raise missing_extra(fault) from fault
    except MemoryError as fault:
        raise ResourceError("does not fit into memory", where=where) from fault
    except RecursionError as fault:
        raise FormatError("nests its sequences too deeply", where=where, cure=_CURE) from fault
    except OSError as fault:
        if isinstance(fault.__context__, GliomasegError):  # pydicom turns ours into its own within sequences
            raise fault.__context__ from None
        # pydicom raises OSError for damage too, without a number.
        what = f"cannot be read ({fault.strerror})" if fault.errno else "is damaged (a sequence has no end)"
        raise FormatError(what, where=where, cure="" if fault.errno else _CURE) from fault
    except Exception as fault:
        what = f"is damaged, or no DICOM that can be read ({type(fault).__name__})"
        raise FormatError(what, where=where, cure=_CURE) from fault


def missing_extra(fault: ImportError) -> MissingExtraError:
    """Return the fault that names the extra to install."""
    return MissingExtraError(f"DICOM needs {fault.name or 'more libraries'}", cure='pip install "gliomaseg[dicom]"')
