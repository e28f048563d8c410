"""Label files for viewers: the name and the colour of the mask."""

from __future__ import annotations

import os

from gliomaseg.overlays import PREDICTED_COLOUR
from gliomaseg.ownership import OutputFolder

ITK_SNAP = "glioma_labels.txt"
SLICER = "glioma_labels.ctbl"
NAME = "glioma"


def write_labels(output: OutputFolder, *, overwrite: bool = False) -> None:
    """Write label files for ITK-SNAP and 3D Slicer beside the masks: one of each for a whole folder.

    An existing file is kept. With `overwrite`, it is replaced if it is as `predict` wrote it.

    Raises:
        ResourceError: the disk is full.

    Source: the label description files of ITK-SNAP 3 and the colour tables of 3D Slicer 5.
    """
    red, green, blue = PREDICTED_COLOUR
    texts = {
        ITK_SNAP: (
            "################################################\n"
            "# ITK-SnAP Label Description File\n"
            "# File format:\n"
            "# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL\n"
            "################################################\n"
            '    0     0    0    0        0  0  0    "Clear Label"\n'
            f'    1   {red:>3}  {green:>3}  {blue:>3}        1  1  1    "{NAME}"\n'
        ),
        SLICER: f"# Color table file\n# 2 values\n0 background 0 0 0 0\n1 {NAME} {red} {green} {blue} 255\n",
    }
    for name, text in texts.items():
        file = output.folder / name
        if not os.path.lexists(file) or (overwrite and output.owns(file)):
            output.write_text(file, text)
