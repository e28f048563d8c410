import subprocess
import sys

import pytest

HEAVY = (
    "torch", "onnxruntime", "scipy", "numpy", "pydantic", "matplotlib", "PIL", "rich", "accelerate", "kagglehub",
    "jinja2",
)  # fmt: skip


def loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(' '.join(sorted(m for m in sys.modules if '.' not in m)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(out.stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_after("import gliomaseg") & set(HEAVY) == set()


def test_the_command_line_loads_nothing_heavy_before_a_command():
    assert loaded_after("import gliomaseg.cli") & set(HEAVY) == set()


@pytest.mark.parametrize(
    "module",
    [
        "prediction", "evaluation", "model", "data.audit", "data.cache", "phantoms", "data.download", "report.terminal",
        "report.html",
    ],
)  # fmt: skip
def test_what_is_used_without_training_does_not_load_torch(module):
    loaded = loaded_after(f"import gliomaseg.{module}, gliomaseg.engines.onnxruntime")
    assert loaded & {"torch", "torchvision", "accelerate", "matplotlib", "safetensors"} == set()


def test_a_volume_is_predicted_without_what_reads_dicom():
    """nibabel would import pydicom; where that is wanted later, it is there all the same."""
    statement = "from gliomaseg.cli.output import import_nibabel; import_nibabel()"
    assert "pydicom" not in loaded_after(f"{statement}; import gliomaseg.formats.nifti")
    assert "pydicom" in loaded_after(f"{statement}; import pydicom")


def test_who_has_imported_pydicom_keeps_it():
    loaded = loaded_after("import pydicom; from gliomaseg.cli.output import import_nibabel; import_nibabel()")
    assert {"pydicom"} <= loaded
    assert "nibabel" not in loaded
