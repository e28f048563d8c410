# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Finding a tumour in a brain MRI
#
# A glioma is a tumour of the brain's supporting tissue. On the MRI sequence called FLAIR, it is bright with a blurred
# edge. To measure it, a reader must draw its outline on every slice. This takes long, and outlines differ between
# readers. This notebook trains a network that draws the outline, and then measures the quality of the outline.
#
# The steps are: data, preprocessing, model, training, Dice, images. At the end, the same network is trained once more
# with another split of the data, to show how the split changes the score.
#
# **Research software, not a medical device.**

# %% [markdown]
# ## Setting up
#
# `DATA` chooses the data:
#
# - `"phantoms"` draws synthetic patients. It needs no download and takes a few minutes on a processor.
# - `"kaggle"` downloads the LGG MRI segmentation data set (about 3 GB).
# - Any other text is the path of a folder in the layout of that data set.
#
# For patients, set `RECIPE = "fcn_resnet50"` to train the reference recipe. It needs a GPU, for example on Colab.
# All files are written to the folder `OUT`. If you run the notebook again, it replaces the files of the last run.

# %%
import os
import subprocess
import sys
from pathlib import Path

DATA = "phantoms"  # or "kaggle", or the path of a folder
RECIPE = "unet_small"  # or "fcn_resnet50"
OUT = Path("gliomaseg-notebook")
FAST = os.environ.get("GLIOMASEG_NOTEBOOK_FAST") == "1"  # set by the tests: every step, at the smallest size

if "google.colab" in sys.modules:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "gliomaseg[train]"], check=True)

OUT.mkdir(exist_ok=True)

# %%
import io
import json
import warnings

import numpy as np
from IPython.display import Image

import gliomaseg
from gliomaseg import overlays

warnings.filterwarnings("ignore", message="IProgress not found")  # this notebook shows no progress bars


def show(rows, **words):
    """Return rows of images as one PNG."""
    png = io.BytesIO()
    overlays.panel(rows, **words).save(png, format="PNG", optimize=True)
    return Image(data=png.getvalue())


print("gliomaseg", gliomaseg.__version__)

# %% [markdown]
# ## Data
#
# The data set contains 110 patients with 3,929 slices, and a mask for each slice. Each image has three channels: T1
# before contrast, FLAIR, and T1 after contrast. The masks were drawn on FLAIR.
#
# The phantoms have the same layout, names and channels, and a tumour with an exact mask. Here they are much smaller
# (64 pixels instead of 256), and there are few of them. Phantoms differ from patients: some properties are easier,
# some are unrealistic. A score on phantoms does not predict a score on patients.

# %%
from gliomaseg.data.audit import audit
from gliomaseg.data.download import download
from gliomaseg.data.layouts import read_cases
from gliomaseg.phantoms import write_phantoms
from gliomaseg.report.terminal import audit_text

if DATA == "phantoms":
    root = write_phantoms(OUT / "phantoms", patients=5 if FAST else 10, side_px=64, overwrite=True)
elif DATA == "kaggle":
    root = download(progress=print)
else:
    root = Path(DATA)

index = read_cases(root)
findings = audit(index)
print(audit_text(findings))

# %% [markdown]
# The audit opens every file. It reports slices without a mask, damaged files, and copies between patients. Most
# slices contain no tumour, and about one pixel in a hundred is tumour. A network that always predicts an empty mask
# is right in 99 % of all pixels, so accuracy is not a useful measure here.
#
# The next figure shows the three sequences of one patient, and the mask.

# %%
from gliomaseg.data.case import read_case


def grey(plane):
    """Return a plane (y, x) as a grey image for the panel; the brightest 0.5 % of the pixels are white."""
    top = max(1.0, float(np.percentile(plane, 99.5)))
    return np.repeat(np.clip(plane / top * 255, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


first = read_case(index.cases[0])
k = int(first.reference.sum(axis=(1, 2)).argmax())
slice_ = first.scan.voxels[k]
show(
    [[*(grey(slice_[..., c]) for c in range(3)), overlays.white(first.reference[k])]],
    columns=("T1 before contrast", "FLAIR", "T1 after contrast", "mask"),
    notes=[f"{first.case.name}, slice {first.case.slices[k].number} of {len(first.case.slices)}"],
    title="One slice, three sequences",
    side_px=200,
)

# %% [markdown]
# ## Preprocessing
#
# A recipe contains every setting of a run, from pixels to mask. The reference recipe `fcn_resnet50` converts each
# image to grey, resizes it to 256 x 256, and scales it to -1 ... 1. Grey means 0.299 R + 0.587 G + 0.114 B. This
# formula is made for photographs. Here it mixes three sequences. If a sequence is missing, the authors of the data
# set replaced it with FLAIR, so the grey image then contains more FLAIR than for other patients.
#
# The recipe `unet_small` uses FLAIR unchanged. The next figure compares the inputs of both networks.

# %%
from gliomaseg.config import read_recipe
from gliomaseg.preprocessing import normalise, prepare

reference_recipe = read_recipe("fcn_resnet50")
recipe = read_recipe(RECIPE)
if FAST:
    tiny = ["preprocessing.size_px=64", "network.base_features=4", "network.levels=2", "training.epochs=1"]
    recipe = recipe.with_settings(tiny)
elif DATA == "phantoms":
    small = ["preprocessing.size_px=64", "network.base_features=8", "training.batch=4", "training.epochs=24"]
    recipe = recipe.with_settings(small)
print(f"recipe: {recipe.network.name}, {recipe.preprocessing}")

seen = []
for sequences in ("grey", "flair"):
    preprocessing = reference_recipe.preprocessing.model_copy(update={"input": sequences, "size_px": slice_.shape[0]})
    seen.append(prepare(first.scan, preprocessing).slices[k, 0])

batch = normalise(prepare(first.scan, recipe.preprocessing).slices, recipe.preprocessing)
print(f"network input: {batch.dtype}, shape {batch.shape}, from {batch.min():.2f} to {batch.max():.2f}")
show(
    [[grey(plane) for plane in seen]],
    columns=("grey: mixed sequences", "FLAIR"),
    notes=["each scaled to its own brightest values"],
    title="Network input",
    side_px=260,
)

# %% [markdown]
# ## Model
#
# The reference is torchvision's FCN-ResNet50: a ResNet-50 that keeps more of its resolution, and a head with two
# classes, background and tumour. It has 33 million parameters and needs a GPU. The small U-Net is the default here.
# With phantoms at 64 pixels, it takes minutes on any machine. The rest of the code is the same.

# %%
from gliomaseg.networks import build_network

for settings in (reference_recipe.network, recipe.network):
    parameters = sum(p.numel() for p in build_network(settings).parameters())
    print(f"{settings.name:<14} {parameters / 1e6:6.2f} million parameters")

# %% [markdown]
# ## Training
#
# The first step is the split into training and validation patients. The split is **by patient**: all slices of a
# patient are on one side. Three tenths of the patients are used for validation.

# %%
from gliomaseg.config import Split
from gliomaseg.data.split import split_data, write_splits
from gliomaseg.report.terminal import splits_text

by_patient = split_data(index, Split(by="patient", holdout=0.3))
write_splits(by_patient, OUT / "by-patient.json")
print(splits_text(by_patient))

# %% [markdown]
# The training loop uses cross-entropy and Adam, and scores the validation side after each epoch. The order of the
# slices and all random draws come from the seed. A run that is stopped and resumed therefore ends with the same
# weights as an uninterrupted one.

# %%
from gliomaseg.training.train import TrainOptions, train

run, cache = OUT / "run", OUT / "cache"
options = TrainOptions(recipe, root, run, splits=OUT / "by-patient.json", cache=cache, overwrite=True)
model = train(options, say=print)

# %%
Image(filename=run / "curves.png")

# %% [markdown]
# The curves on the right are the same predictions, scored by different conventions; the next section explains them.
# They jump from epoch to epoch, because there are few phantoms to train on and fewer to validate on. The run exports
# the last epoch, not the best one. Choosing an epoch by its validation score would make that score too optimistic.
#
# The folder `run/model` now contains the files for prediction without PyTorch:

# %%
for file in sorted(model.iterdir()):
    print(f"{file.name:<20} {file.stat().st_size / 1e6:8.2f} MB")

# %% [markdown]
# ## Dice, in five conventions
#
# Dice is twice the overlap of two masks, divided by the sum of their sizes. Two choices are conventions: how to treat
# slices without tumour, and over which units to average. Each of the five conventions has its own name here. Other
# measures follow below the five: surface distances, lesions, calibration. `metrics.json` defines each of them.

# %%
from gliomaseg.evaluation import CaseSelection, evaluate_data
from gliomaseg.evaluation.measures import conventions
from gliomaseg.prediction import open_predictor
from gliomaseg.report.terminal import summary_text

predictor = open_predictor(model)
metrics = evaluate_data(root, predictor, CaseSelection(OUT / "by-patient.json"))
print(summary_text(metrics.summary))
print()
for name in conventions():
    print(f"{name}: {metrics.definitions[name]}\n")

# %% [markdown]
# `dice_volume` is the headline: one number per patient, and the mean over patients. `dice_slices_empty_one` is
# increased by slices without tumour. The next cell scores a network that always predicts an empty mask.

# %%
from gliomaseg.evaluation import summarise

nothing = {
    row.patient: np.array([[0, 1, 0]] * row["tumour_slices"] + [[0, 0, 0]] * (row["slices"] - row["tumour_slices"]))
    for row in metrics.patients
}
for name, entry in summarise(nothing).measures.items():
    if name in ("dice_volume", "dice_tumour_slices", "dice_slices_empty_one"):
        print(f"{name:<24} {entry.mean:.3f}")

# %% [markdown]
# The confidence interval beside a mean gives its uncertainty due to the choice of patients. With so few patients, it
# is wide. These are the single values:

# %%
for row in metrics.patients:
    print(f"{row.patient}  dice_volume {row['dice_volume']:.3f}  {row['tumour_slices']} tumour slices")

# %% [markdown]
# ## Input, reference, prediction
#
# For each validation patient (at most four), the figure shows the slice with the largest tumour. The outline of the
# reference is blue, that of the prediction orange.

# %%
from gliomaseg.data.split import select
from gliomaseg.metrics.overlap import dice

rows, notes = [], []
for case in select(index, by_patient.folds[0].validation)[:4]:
    examination = read_case(case)
    predicted = predictor.mask(examination.scan)
    k = int(examination.reference.sum(axis=(1, 2)).argmax())
    reference = examination.reference[k]
    flair = grey(examination.scan.voxels[k][..., 1])
    both = overlays.overlay(flair, reference=reference, predicted=predicted[k])
    rows.append([flair, overlays.white(reference), overlays.white(predicted[k]), both])
    value = dice(reference=reference, predicted=predicted[k])
    notes.append(f"{case.name}, slice {case.slices[k].number}: Dice of this slice {value:.3f}")
columns = ("input MRI (FLAIR)", "reference", "prediction", "outlines")
show(rows, columns=columns, notes=notes, title="Validation side", side_px=200)

# %% [markdown]
# ## Effect of the split
#
# The notebook that this one follows pools the slices of all patients, and draws a fifth of them for validation.
# Nearly every validation slice then has a neighbour, half a centimetre away, in the training set. The next cell
# trains the same network with the same settings, split by slice.

# %%
by_slice = split_data(index, Split(by="slice", holdout=0.3))
write_splits(by_slice, OUT / "by-slice.json")
options = TrainOptions(recipe, root, OUT / "run-by-slice", splits=OUT / "by-slice.json", cache=cache, overwrite=True)
leaking_model = train(options, say=print)
leaking = json.loads((leaking_model / "metrics.json").read_text("utf-8"))

# %%
print(f"{'mean':<34}{'by patient':>11}{'by slice':>11}")
for name in conventions():
    print(f"{name:<34}{metrics.summary[name].mean:>11.3f}{leaking['summary'][name]['mean']:>11.3f}")

# %% [markdown]
# The table shows one run of each kind. On few phantoms, chance decides which number is higher, and the two validation
# sides contain different slices. Two such numbers do not measure a leak; `docs/results/leakage.md` does, with all
# other conditions equal. The second number also answers a different question: how well the network fills gaps in the
# stacks that it was trained on. The first number answers how well it works on a new patient.
#
# gliomaseg splits by patient by default. If the split is by slice, the splits file, the metrics and the model card
# contain the warning that is printed above.

# %% [markdown]
# ## Next steps
#
# - `DATA = "kaggle"` and `RECIPE = "fcn_resnet50"` at the top run this notebook on patients, with the reference recipe.
# - The same steps on the command line are `gliomaseg download`, `audit`, `split`, `train`, `evaluate`, `predict`.
# - The guide describes each step in detail; `docs/results` contains the results on patients.
# - The data set is licensed CC BY-NC-SA 4.0: use weights trained on it for non-commercial purposes, and share them
#   alike.
