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
# A glioma is a tumour of the brain's supporting tissue. On the MRI sequence called FLAIR it is bright, with a blurred
# edge. To measure it, somebody has to draw its outline on every slice, which takes long and differs from reader to
# reader. This notebook trains a network to draw it, and then asks how good the outline is.
#
# The road: data, preprocessing, model, training, Dice, pictures. At the end the same network is trained once more,
# with another split of the data, to see what that does to its score.
#
# **Research software, not a medical device.**

# %% [markdown]
# ## Setting up
#
# `DATA = "phantoms"` draws synthetic patients, needs no download, and takes a few minutes on a processor. `DATA =
# "kaggle"` fetches the LGG MRI segmentation data set (about 3 GB) and trains the reference recipe on it. You want a
# GPU for that, for example on Colab.

# %%
import os
import subprocess
import sys
import tempfile
from pathlib import Path

DATA = "phantoms"  # or "kaggle"
FAST = os.environ.get("GLIOMASEG_NOTEBOOK_FAST") == "1"  # the tests' setting: all of it, on next to nothing

if "google.colab" in sys.modules:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "gliomaseg[train]"], check=True)

os.chdir(tempfile.mkdtemp(prefix="gliomaseg-"))  # everything below is written here

# %%
import io
import json
import warnings

import numpy as np
from IPython.display import Image

import gliomaseg
from gliomaseg import pictures

warnings.filterwarnings("ignore", message="IProgress not found")  # a progress bar that is not shown here anyway


def show(rows, **words):
    """Return rows of pictures as one PNG."""
    png = io.BytesIO()
    pictures.panel(rows, **words).save(png, format="PNG", optimize=True)
    return Image(data=png.getvalue())


print("gliomaseg", gliomaseg.__version__)

# %% [markdown]
# ## Data
#
# The data set holds 110 patients with 3,929 slices, and a mask for each slice. Each picture has three channels: T1
# before contrast, FLAIR, T1 after contrast. The masks were drawn on FLAIR.
#
# The phantoms have the same layout, names and channels, and a tumour that is known exactly. They are much smaller
# here (64 pixels instead of 256) and there are few of them. They are easier than patients in some ways and odder in
# others: a score on phantoms says nothing about patients.

# %%
from gliomaseg.data.audit import audit
from gliomaseg.data.download import download
from gliomaseg.data.index import read_index
from gliomaseg.data.phantom import write_phantoms
from gliomaseg.report.text import audit_text

if DATA == "kaggle":
    root = download(progress=print)
else:
    root = write_phantoms(Path("phantoms"), patients=5 if FAST else 10, side_px=64)

index = read_index(root)
findings = audit(index)
print(audit_text(findings))

# %% [markdown]
# The audit opens every file. It would name slices without a mask, damaged files, and copies between patients. Most
# slices have no tumour, and tumour is about one pixel in a hundred. A network that never finds anything is right in
# 99 % of all pixels: accuracy is of no use here.
#
# These are the three sequences of one patient, and the mask.

# %%
from gliomaseg.data.examination import read_examination


def grey(plane):
    """Return a plane (y, x) as a grey picture for the panel, its brightest values white."""
    top = max(1.0, float(np.percentile(plane, 99.5)))
    return np.repeat(np.clip(plane / top * 255, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


first = read_examination(index.cases[0])
k = int(first.reference.sum(axis=(1, 2)).argmax())
slice_ = first.scan.voxels[k]
show(
    [[*(grey(slice_[..., c]) for c in range(3)), pictures.white(first.reference[k])]],
    columns=("T1 before contrast", "FLAIR", "T1 after contrast", "mask"),
    notes=[f"{first.case.name}, slice {first.case.slices[k].number} of {len(first.case.slices)}"],
    title="One slice, three sequences",
    side_px=200,
)

# %% [markdown]
# ## Preprocessing
#
# A recipe says everything that a run does, from pixels to mask. The reference recipe `fcn_resnet50` turns each
# picture grey, resizes it to 256 x 256, and scales it to -1 ... 1. Grey means 0.299 R + 0.587 G + 0.114 B. For a
# photograph that is right. Here it mixes three sequences. Where a sequence is missing, the authors of the data put
# FLAIR in its place, and then grey holds more FLAIR than in other patients.
#
# The recipe `unet_small` takes FLAIR as it is. Compare what the two networks see:

# %%
from gliomaseg.config import read_recipe
from gliomaseg.preprocessing import normalise, prepare

reference_recipe = read_recipe("fcn_resnet50")
small_recipe = read_recipe("unet_small")
if DATA == "kaggle":
    recipe = reference_recipe
elif FAST:
    tiny = ["preparation.size_px=64", "network.width=4", "network.levels=2", "training.epochs=1"]
    recipe = small_recipe.with_settings(tiny)
else:
    small = ["preparation.size_px=64", "network.width=8", "training.batch=4", "training.epochs=24"]
    recipe = small_recipe.with_settings(small)
print(f"recipe: {recipe.network.name}, {recipe.preparation}")

seen = []
for channels in ("grey", "flair"):
    preparation = reference_recipe.preparation.model_copy(update={"channels": channels, "size_px": slice_.shape[0]})
    seen.append(prepare(first.scan, preparation).slices[k, 0])

batch = normalise(prepare(first.scan, recipe.preparation).slices, recipe.preparation)
print(f"what the network takes: {batch.dtype}, shape {batch.shape}, from {batch.min():.2f} to {batch.max():.2f}")
show(
    [[grey(plane) for plane in seen]],
    columns=("grey: a mixture", "FLAIR"),
    notes=["both scaled to their own brightest values"],
    title="What the network sees",
    side_px=260,
)

# %% [markdown]
# ## Model
#
# The reference is torchvision's FCN-ResNet50: a ResNet-50 that keeps more of its resolution, and a head with two
# classes, background and tumour. It has 33 million parameters and wants a GPU. On phantoms this notebook trains the
# small U-Net instead, at 64 pixels, so that it runs anywhere in minutes. Everything else is the same code.

# %%
from gliomaseg.networks import build_network

for settings in (reference_recipe.network, recipe.network):
    parameters = sum(p.numel() for p in build_network(settings).parameters())
    print(f"{settings.name:<14} {parameters / 1e6:6.2f} million parameters")

# %% [markdown]
# ## Training
#
# First, who trains and who validates. The split is **by patient**: all slices of a patient are on one side. Three
# tenths of the patients validate.

# %%
from gliomaseg.config import Split
from gliomaseg.data.split import split_data, write_splits
from gliomaseg.report.text import splits_text

by_patient = split_data(index, Split(by="patient", holdout=0.3))
write_splits(by_patient, Path("by-patient.json"))
print(splits_text(by_patient))

# %% [markdown]
# Then the loop: cross-entropy, Adam, and after each epoch a look at the validation side. The order of the slices and
# all chance in it come from the seed, so a run that is stopped and resumed ends with the same weights as one that was
# not.

# %%
from gliomaseg.training.run import Order, train

run = Path("run")
model = train(Order(recipe, root, run, splits=Path("by-patient.json"), cache=Path("cache")), say=print)

# %%
Image(filename=run / "curves.png")

# %% [markdown]
# The curves on the right are the same predictions, counted by different rules. That is the next section. They jump
# from epoch to epoch: there are few phantoms to learn from, and fewer to be measured on. The run exports the last
# epoch, not the best one: to choose an epoch by its score on the validation side would flatter that score.
#
# The folder `run/model` now holds all that is needed to predict, without PyTorch:

# %%
for file in sorted(model.iterdir()):
    print(f"{file.name:<20} {file.stat().st_size / 1e6:8.2f} MB")

# %% [markdown]
# ## Dice, in five conventions
#
# Dice is twice the overlap of two masks, divided by the sum of their sizes. What to do with slices that have no
# tumour, and what the mean is over, is a convention. So each number bears the name of its own. Below the five stand
# other measures: distances between the surfaces of the masks, lesions, calibration; `metrics.json` defines each.

# %%
from gliomaseg.evaluation import Side, evaluate_data
from gliomaseg.metrics.overlap import DEFINITIONS
from gliomaseg.prediction import open_predictor
from gliomaseg.report.text import summary_text

predictor = open_predictor(model)
metrics = evaluate_data(root, predictor, Side(Path("by-patient.json")))
print(summary_text(metrics["summary"]))
print()
for name, definition in DEFINITIONS.items():
    print(f"{name}: {definition}\n")

# %% [markdown]
# `dice_volume` is the headline: one number for each patient, and the mean over patients. `dice_slices_empty_one` is
# flattered by slices without tumour. What would a network score that never finds anything?

# %%
from gliomaseg.evaluation import summarise

nothing = {
    row["patient"]: np.array([[0, 1, 0]] * row["tumour_slices"] + [[0, 0, 0]] * (row["slices"] - row["tumour_slices"]))
    for row in metrics["patients"]
}
for name, entry in summarise(nothing).items():
    if name in ("dice_volume", "dice_tumour_slices", "dice_slices_empty_one"):
        print(f"{name:<24} {entry['mean']:.3f}")

# %% [markdown]
# The interval beside a mean says how far it would move with other patients like these. With so few patients it is
# wide. Look at each of them:

# %%
for row in metrics["patients"]:
    print(f"{row['patient']}  dice_volume {row['dice_volume']:.3f}  {row['tumour_slices']} tumour slices")

# %% [markdown]
# ## Input, ground truth, prediction
#
# The slice with the largest tumour of each patient on the validation side (at most four of them). Blue is the ground
# truth, orange the prediction.

# %%
from gliomaseg.data.split import select
from gliomaseg.metrics.overlap import dice

rows, notes = [], []
for case in select(index, by_patient.folds[0].validation)[:4]:
    examination = read_examination(case)
    predicted = predictor.mask(examination.scan)
    k = int(examination.reference.sum(axis=(1, 2)).argmax())
    reference = examination.reference[k]
    flair = grey(examination.scan.voxels[k][..., 1])
    both = pictures.overlay(flair, reference=reference, predicted=predicted[k])
    rows.append([flair, pictures.white(reference), pictures.white(predicted[k]), both])
    value = dice(reference=reference, predicted=predicted[k])
    notes.append(f"{case.name}, slice {case.slices[k].number}: Dice of this slice {value:.3f}")
columns = ("input MRI (FLAIR)", "ground truth", "prediction", "outlines")
show(rows, columns=columns, notes=notes, title="Validation side", side_px=200)

# %% [markdown]
# ## What changes with the split
#
# The notebook that this one follows puts the slices of all patients into one pot, and draws a fifth of them for
# validation. Then nearly every slice that validates has a neighbour, half a centimetre away, that trained. The same
# network, with the same settings, split by slice:

# %%
by_slice = split_data(index, Split(by="slice", holdout=0.3))
write_splits(by_slice, Path("by-slice.json"))
leaking_model = train(
    Order(recipe, root, Path("run-by-slice"), splits=Path("by-slice.json"), cache=Path("cache")), say=print
)
leaking = json.loads((leaking_model / "metrics.json").read_text("utf-8"))

# %%
print(f"{'mean':<34}{'by patient':>11}{'by slice':>11}")
for name in DEFINITIONS:
    print(f"{name:<34}{metrics['summary'][name]['mean']:>11.3f}{leaking['summary'][name]['mean']:>11.3f}")

# %% [markdown]
# In the run that is kept here, the split by slice gives the lower `dice_volume` and the better number by every other
# convention. It is one run of each kind, on ten phantoms, and the two validation sides are not the same slices: two
# such numbers measure no leak. `docs/results/leakage.md` does, with all else held equal. What needs no run is that the
# second number answers another question: how well the network fills gaps in stacks that it knows. The first one says
# how well it does on somebody new.
#
# gliomaseg splits by patient unless it is told otherwise. Where the split is by slice, the splits file, the metrics
# and the model card carry the warning that was printed above.

# %% [markdown]
# ## From here
#
# - `DATA = "kaggle"` at the top runs all of this on patients, with the reference recipe.
# - On the command line the same road is `gliomaseg download`, `audit`, `split`, `train`, `evaluate`, `predict`.
# - The guide says more about each step; `docs/results` holds what was measured on patients.
# - The data set is under CC BY-NC-SA 4.0: weights trained on it are for non-commercial use and are shared alike.
