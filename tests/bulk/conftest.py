"""A small archive of volumes."""

import pytest

from bright_volumes import write_volume


@pytest.fixture
def volumes(tmp_path):
    """Two volumes, `scans/a_flair.nii.gz` and `scans/b_flair.nii.gz`."""
    for seed, name in enumerate("ab"):
        write_volume(tmp_path / "scans" / f"{name}_flair.nii.gz", seed=seed)
    return tmp_path / "scans"
