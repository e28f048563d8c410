"""The client and the curl line of the guide work against a real server."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from documented_pages import API_PAGE, BLOCK
from gliomaseg.choices import PhantomFormat
from gliomaseg.phantoms import write_phantoms

KEYS = re.compile(r"^\| (`[a-z_0-9`, ]+) \|", re.MULTILINE)


def test_client_and_curl_line_of_the_guide(server_address: str, tmp_path: Path) -> None:
    folder = write_phantoms(tmp_path / "phantoms", patients=1, side_px=96, kind=PhantomFormat.nifti)
    (flair,) = folder.glob("*/*_flair.nii.gz")
    flair.rename(tmp_path / "flair.nii.gz")
    blocks = BLOCK.findall(API_PAGE.read_text("utf-8"))
    texts = [body.replace("http://127.0.0.1:8000", server_address) for _, body in blocks]
    client = next(text for text in texts if text.startswith("import time"))
    client += "\nprint(*job['result'])"
    done = subprocess.run(
        [sys.executable, "-c", client + "\nprint(len(mask) > 100)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    volume, keys, is_mask = done.stdout.splitlines()
    _, _, section = API_PAGE.read_text("utf-8").partition("\n## The result\n")
    documented = [
        key for row in KEYS.findall(section.partition("\n\nAfter a correction")[0]) for key in re.findall(r"\w+", row)
    ]
    assert sorted(documented) == sorted(keys.split())
    assert volume.endswith(" ml")
    assert float(volume.removesuffix(" ml")) > 0
    assert is_mask == "True"
    curl = next(text for text in texts if text.startswith("curl"))
    answer = subprocess.run(["bash", "-c", curl], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert '"state":"queued"' in answer.stdout, answer.stderr
