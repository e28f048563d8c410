"""Each change moves scan, mask and affine alike; ways to predict a volume of 1 mm."""

import sys
from pathlib import Path

import numpy as np
import pytest

from gliomaseg.data.case import Case, LoadedCase
from gliomaseg.metrics.overlap import dice
from gliomaseg.model import load_model
from gliomaseg.prediction import Predictor
from gliomaseg.pretrained import find_model
from gliomaseg.scan import Scan

SCRIPT = Path(__file__).parents[2] / "studies" / "changed_scans.py"


@pytest.fixture(scope="module")
def script(load_script):
    sys.path.insert(0, str(SCRIPT.parent))
    yield load_script(SCRIPT)
    sys.path.remove(str(SCRIPT.parent))


@pytest.fixture
def ball():
    """Return a brain of radius 20 with a bright tumour of radius 6, in a volume of 48 x 64 x 64 mm, z-scored."""
    z, y, x = np.indices((48, 64, 64))
    brain = (z - 24) ** 2 + (y - 32) ** 2 + (x - 32) ** 2 < 400
    tumour = (z - 24) ** 2 + (y - 24) ** 2 + (x - 36) ** 2 < 36
    volume = np.where(tumour, 2.0, np.where(brain, -0.5 + 0.01 * (y % 3), 0.0)).astype(np.float32)
    return LoadedCase(Case("ball", "ball"), Scan(volume[..., None], "ball", np.eye(4)), tumour, tuple(range(1, 49)))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("painted scalp", (48, 64, 64)),
        ("rotated by 15 degrees", (48, 64, 64)),
        ("rotated by 30 degrees", (48, 64, 64)),
        ("upside down", (48, 64, 64)),
        ("tilted by 15 degrees", (48, 64, 64)),
        ("cropped", (48 - 9 - 6, 64 - 8 - 8, 64 - 8 - 12)),
        ("slices of 6 mm", (8, 64, 64)),
        ("every fourth slice", (12, 64, 64)),
    ],
)
def test_the_mask_stays_on_the_bright_tumour(script, ball, name, shape):
    changed = script.CHANGES[name](ball)
    flair = changed.scan.voxels[..., 0]
    assert flair.shape == changed.reference.shape == shape
    assert changed.reference.any()
    inside = flair[changed.reference]
    assert (inside > 0.5).mean() > 0.9
    volume_mm3 = changed.reference.sum() * np.linalg.det(changed.scan.affine[:3, :3])
    assert volume_mm3 == pytest.approx(ball.reference.sum(), rel=0.3)


def test_the_scalp_is_bright_and_outside_the_brain(script, ball):
    painted = script.with_scalp(ball).scan.voxels[..., 0]
    original = ball.scan.voxels[..., 0]
    brain = original != 0
    assert np.array_equal(painted[brain], original[brain])
    assert painted[24, 32, 32 + 28] == pytest.approx(2.0, abs=0.5)  # 8 mm from the brain
    assert painted[24, 32, 32 + 23] < 0  # 3 mm from it: the skull


class RightIsClearer:
    """Finds what is bright, with more certainty at the right end of the rows."""

    def probabilities(self, batch):
        return (batch[:, 2] > 0.5) * np.linspace(0.1, 0.9, batch.shape[3], dtype=np.float32)


def test_the_way_of_predict_is_among_the_measured_ones(script, load_script, ball):
    merges = load_script(SCRIPT.parent / "slice_merges.py")
    predictor = Predictor(load_model(find_model(Path("glioma-flair-stripped"))), RightIsClearer())
    expected = dice(reference=ball.reference, predicted=predictor.predict(ball.scan).mask)
    values = dict(zip(merges.WAYS, merges.dice_of_ways(ball, predictor), strict=True))
    assert values["both merges, flip TTA in the first"] == expected > 0
    assert len(set(values.values())) > 3
