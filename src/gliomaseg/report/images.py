"""The example images of an evaluation, embedded in the page."""

from __future__ import annotations

import base64
import io
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, ImageChops

from gliomaseg.evaluation.results import Evaluation, Example

MOST = 12
LARGEST_BYTES = 4 * 2**20
LARGEST_PX = 4096
DARK, MARGIN_PX = 24, 12
ORDER = {"best": 0, "median": 1, "worst": 2}


@dataclass(frozen=True)
class EmbeddedImage:
    """An example with its image as a data URL, or with the reason why there is none."""

    example: Example
    src: str | None = None
    width: int | None = None
    height: int | None = None
    missing: str | None = None


def embed_images(evaluation: Evaluation, folder: Path) -> list[EmbeddedImage]:
    """Return the examples, best first."""
    examples = sorted(evaluation.examples, key=lambda example: ORDER[example.kind])[:MOST]
    return [embed_image(folder, example) for example in examples]


def embed_image(folder: Path, example: Example) -> EmbeddedImage:
    """Return an example with its image or a reason; no file outside the folder is opened."""
    if not example.file:
        return EmbeddedImage(example, missing="The evaluation does not name a file for this image.")
    try:
        path = (folder / example.file).resolve()
        if not path.is_relative_to(folder.resolve()):
            return EmbeddedImage(example, missing="The image lies outside the evaluation and is not shown.")
        if not path.is_file():
            return EmbeddedImage(example, missing="The image is no longer in the evaluation.")
        if path.stat().st_size > LARGEST_BYTES:
            reason = f"The image is larger than {LARGEST_BYTES >> 20} MiB and is not shown."
            return EmbeddedImage(example, missing=reason)
        return _decode(example, path.read_bytes())
    except (OSError, ValueError):  # a name may not be a valid file name
        return EmbeddedImage(example, missing="The image cannot be read.")


def crop_alike(a: EmbeddedImage, b: EmbeddedImage) -> tuple[EmbeddedImage, EmbeddedImage]:
    """Return two images of one size cut to the part in which either of them is not dark; others as they are."""
    if a.src is None or b.src is None or (a.width, a.height) != (b.width, b.height):
        return a, b
    images = [Image.open(io.BytesIO(base64.b64decode(one.src.partition(",")[2]))) for one in (a, b) if one.src]
    brightest = ImageChops.lighter(*(image.convert("L") for image in images))
    box = brightest.point(lambda level: 255 * (level > DARK)).getbbox()
    if box is None:
        return a, b
    left, top, right, bottom = box
    width, height = images[0].size
    box = (
        max(0, left - MARGIN_PX),
        max(0, top - MARGIN_PX),
        min(width, right + MARGIN_PX),
        min(height, bottom + MARGIN_PX),
    )
    one, other = (_cropped(entry, image.crop(box)) for entry, image in zip((a, b), images, strict=True))
    return one, other


def _cropped(entry: EmbeddedImage, image: Image.Image) -> EmbeddedImage:
    file = io.BytesIO()
    image.save(file, format="PNG")
    return replace(entry, src=_data_url(file.getvalue()), width=image.width, height=image.height)


def _data_url(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"


def _decode(example: Example, content: bytes) -> EmbeddedImage:
    invalid = EmbeddedImage(example, missing="The file is not a valid PNG and is not shown.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow warns of images that grow too large
            with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
                if max(image.size) > LARGEST_PX:
                    return invalid
                image.load()
                width, height = image.size
    except Exception:
        return invalid
    return EmbeddedImage(example, src=_data_url(content), width=width, height=height)
