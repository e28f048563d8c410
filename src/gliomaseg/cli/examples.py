"""Examples for the `--help` of each command."""

from __future__ import annotations

_LINES: dict[str, tuple[str, ...]] = {
    "demo": ("gliomaseg demo --out gliomaseg-demo",),
    "download": ("gliomaseg download --to lgg", "gliomaseg download --from archive.zip --to lgg"),
    "phantom": ("gliomaseg phantom phantoms --patients 12", "gliomaseg phantom heads --as nifti --patients 2"),
    "audit": (
        "gliomaseg audit lgg",
        "gliomaseg audit lgg --json > audit.json",
        "gliomaseg audit lgg --html audit.html --manifest cases.csv",
    ),
    "split": ("gliomaseg split lgg --out splits.json --folds 5", "gliomaseg split lgg --out sites.json --by site"),
    "train": (
        "gliomaseg train unet_small --data lgg --out run --splits splits.json",
        "gliomaseg train unet_small --data lgg --out run-2 --set training.epochs=20",
    ),
    "crossvalidate": (
        "gliomaseg crossvalidate unet_small --data lgg --out cv --folds 5",
        "gliomaseg crossvalidate unet_small --data lgg --out side --jobs 2",
    ),
    "evaluate": (
        "gliomaseg evaluate lgg --model run --splits splits.json --out scores",
        "gliomaseg evaluate lgg --predictions masks --out scores-of-masks",
    ),
    "compare": ("gliomaseg compare scores-a scores-b",),
    "report": ("gliomaseg report scores --out report.html",),
    "predict": (
        "gliomaseg predict scan_flair.nii.gz --out masks",
        "gliomaseg predict case01 case02 --out masks --csv masks.csv",
        "gliomaseg predict dicom-folder --out masks --to nifti",
        "gliomaseg predict --flair flair.nii.gz --t1 t1.nii.gz --out masks",
        "gliomaseg predict patients --out masks --skip-existing",
        "gliomaseg predict archive --out masks --part 3/20",
    ),
    "bulk": (
        "gliomaseg bulk archive --out masks",
        "gliomaseg bulk cases.parquet --out masks --workers 8",
        "gliomaseg bulk cases.csv --out /shared/masks --address auto",
    ),
    "export": ("gliomaseg export run --to onnx --out shared-model",),
    "models": ("gliomaseg models", "gliomaseg models --json"),
    "bench": ("gliomaseg bench",),
    "serve": ("gliomaseg serve --open", "gliomaseg serve --port 8123 --limit 500M"),
}


def epilog_of(command: str) -> str | None:
    """Return the examples of a command as text for `--help`; None without examples."""
    lines = _LINES.get(command)
    # "\b" keeps the line breaks of the paragraph.
    return None if lines is None else "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
