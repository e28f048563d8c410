"""The example of the page: a phantom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write_example(upload: Path, _files: Sequence[Any] = ()) -> dict[str, str]:
    """Write FLAIR and T1 of a phantom into the folder of an upload, and return the names that people see."""
    from gliomaseg.choices import PhantomFormat
    from gliomaseg.phantoms import write_phantoms

    folder = upload.parent / "phantom"
    write_phantoms(folder, patients=1, seed=3, kind=PhantomFormat.nifti)
    names = {}
    for sequence in ("flair", "t1"):
        (source,) = folder.rglob(f"*_{sequence}.nii.gz")
        target = upload / sequence / f"{sequence}.nii.gz"
        target.parent.mkdir()
        source.rename(target)
        names[f"{sequence}/{target.name}"] = f"phantom_{sequence}.nii.gz"
    return names
