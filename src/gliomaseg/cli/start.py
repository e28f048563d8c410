"""What a process of our own may do to answer sooner."""

from __future__ import annotations

import sys


def import_nibabel() -> None:
    """Import nibabel, and let it believe that there is no pydicom: about .15 s of a cold start.

    It wants it for a kind of header extension that nothing here reads. Not for a library: what else uses nibabel in
    the process would get such extensions as bytes. Where one of the two is imported already, nothing is done.
    """
    if {"nibabel", "pydicom"} & sys.modules.keys():
        return
    sys.modules["pydicom"] = None  # type: ignore[assignment]
    try:
        import nibabel.nifti1  # noqa: F401
    finally:
        del sys.modules["pydicom"]
