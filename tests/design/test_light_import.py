import os
import shutil
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


def test_the_usage_data_of_onnx_runtime_are_turned_off_before_its_import():
    """Only this variable stops them: `onnxruntime.disable_telemetry_events()` does not."""
    code = (
        "import os, sys, gliomaseg; assert 'onnxruntime' not in sys.modules; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    without = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    for environment, expected in ((without, "1"), (without | {"ORT_DISABLE_TELEMETRY": "0"}, "0")):
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        assert out.stdout.strip() == expected


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_session_of_ten_seconds_opens_no_internet_socket(tmp_path):
    trace = tmp_path / "trace"
    code = (
        "import time, gliomaseg.engines.onnxruntime, onnxruntime; from gliomaseg.pretrained import find_model; "
        "session = onnxruntime.InferenceSession(find_model(None) / 'model.onnx'); time.sleep(10)"
    )
    command = ["strace", "-f", "-e", "trace=network", "-o", str(trace), sys.executable, "-c", code]
    if subprocess.run(["strace", "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace processes here")
    subprocess.run(command, check=True)
    assert "AF_INET" not in trace.read_text()
