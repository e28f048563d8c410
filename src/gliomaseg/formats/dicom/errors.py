"""Translation of the exceptions, warnings and logs of pydicom and highdicom.

Their texts quote values of a header, which may be the patient's name, so no error message here repeats them.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from os import PathLike
from typing import TYPE_CHECKING

from gliomaseg.errors import FormatError, GliomasegError, MissingExtraError, ResourceError

if TYPE_CHECKING:
    from pydicom import Dataset

_LOGGERS = ("pydicom", "highdicom")
_CURE = "copy or export it again"


@contextmanager
def translated_errors(where: str | PathLike[str]) -> Iterator[None]:
    """Translate every exception into one line about `where`, and silence warnings and logs.

    Raises:
        FormatError: the file cannot be opened, is damaged, or nests its sequences too deeply.
        MissingExtraError: a library of the extra `dicom` is not installed.
        ResourceError: the memory is exhausted.
    """
    for name in _LOGGERS:
        if (logger := logging.getLogger(name)).level != logging.CRITICAL:  # to set it empties caches, for every file
            logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except GliomasegError:
        raise
    except ImportError as fault:
        raise missing_extra(fault) from fault
    except MemoryError as fault:
        raise ResourceError("does not fit into memory", where=where, cure="free memory, or crop it") from fault
    except RecursionError as fault:
        raise FormatError("nests its sequences too deeply", where=where, cure=_CURE) from fault
    except OSError as fault:
        if isinstance(fault.__context__, GliomasegError):  # within sequences, pydicom wraps exceptions
            raise fault.__context__ from None
        # pydicom raises OSError for damaged files too, without an error number.
        what = f"cannot be read ({fault.strerror})" if fault.errno else "is damaged (the end of a sequence is missing)"
        raise FormatError(what, where=where, cure="check its permissions" if fault.errno else _CURE) from fault
    except Exception as fault:
        what = f"is damaged, or not readable as DICOM ({type(fault).__name__})"
        raise FormatError(what, where=where, cure=_CURE) from fault


def encode(dataset: Dataset, *, where: str | PathLike[str]) -> bytes:
    """Return a DICOM file in memory. The caller writes it, so that a full disk is not taken for a damaged content.

    Raises:
        FormatError: the content cannot be encoded.
    """
    encoded = BytesIO()
    with translated_errors(where):
        dataset.save_as(encoded, enforce_file_format=True)
    return encoded.getvalue()


def missing_extra(fault: ImportError) -> MissingExtraError:
    """Return the error that names the extra to install."""
    return MissingExtraError(f"DICOM needs {fault.name or 'more libraries'}", cure='pip install "gliomaseg[dicom]"')
