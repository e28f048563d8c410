/** Saving the correction, and links to take mask and values away. */

import { fileUrl, restoreMask, saveMask } from "./api.js";
import { byId, make, toast } from "./dom.js";
import { changesText } from "./panel.js";

const FILES = [
  { format: "nifti", file: "mask.nii.gz", label: "NIfTI", missing: "the scan has no affine" },
  { format: "dicom-seg", file: "seg.dcm", label: "DICOM SEG", missing: "the scan is not a DICOM series" },
  { format: "tiff", file: "mask.tif", label: "TIFF", missing: "the scan cannot be written as TIFF" },
  { format: null, file: "preview.png", label: "Picture", missing: "" },
  { format: null, file: "result.json", label: "Values (JSON)", missing: "" },
];

/**
 * @param {import("./workspace.js").Workspace} workspace
 * @param {() => void} onSaved
 * @returns {HTMLElement[]} sections of the panel
 */
export function buildTakeAway(workspace, onSaved) {
  const { session } = workspace;
  const save = make("button", { type: "button", id: "save", className: "main" }, "Save correction");
  const clear = make("button", { type: "button", id: "clear", className: "quiet" }, "Back to the model's mask");
  save.addEventListener("click", () => saveNow(workspace, onSaved));
  clear.addEventListener("click", () => {
    session.clear();
    workspace.setThreshold(session.result.threshold);
  });
  const links = FILES.map((entry) => link(workspace, entry, onSaved));
  const missing = FILES.filter((entry) => entry.format && !session.result.formats.includes(entry.format));
  const reasons = missing.map((entry) => `${entry.label}: ${entry.missing}`).join("; ");
  return [
    make("section", { className: "correction" }, make("h3", {}, "Correction"), make("p", { id: "changes", className: "small" }),
      make("div", { className: "row" }, save, clear)),
    make("section", { className: "take" }, make("h3", {}, "Take away"),
      make("p", { className: "small" }, "The mask as you see it, on the grid of the scan. It is saved first."),
      make("div", { className: "row" }, ...links), ...(reasons ? [make("p", { className: "small" }, `Not for this scan: ${reasons}.`)] : [])),
  ];
}

/** @param {import("./workspace.js").Workspace} workspace */
function link(workspace, { format, file, label }, onSaved) {
  const { session } = workspace;
  const there = format === null || session.result.formats.includes(format);
  if (!there) return make("button", { type: "button", disabled: true }, label);
  const anchor = make("a", { className: "button", href: fileUrl(session.id, file), download: "", dataset: { file } }, label);
  anchor.addEventListener("click", async (event) => {
    if (!session.isChanged) return;
    event.preventDefault();
    if (await saveNow(workspace, onSaved)) anchor.click();
  });
  return anchor;
}

/**
 * Send the mask to the server, so that files have it.
 * @param {import("./workspace.js").Workspace} workspace
 * @param {() => void} onSaved
 */
export async function saveNow(workspace, onSaved) {
  const { session, painter } = workspace;
  if (!session || painter.isBusy) return false;
  const mask = session.mask.slice();
  try {
    session.markSaved(session.isModels ? await restoreMask(session.id) : await saveMask(session.id, mask), mask);
  } catch (fault) {
    toast(fault.message, true);
    return false;
  }
  toast(session.result.corrected ? "Correction saved" : "The model's mask is kept");
  onSaved();
  return true;
}

/** @param {import("./workspace.js").Workspace} workspace @param {any} measures */
export function showCorrection(workspace, measures) {
  const { session } = workspace;
  const changed = session.isChanged;
  byId("changes").textContent = changesText(workspace, measures) + (changed ? " Not saved yet." : "");
  byId("save").disabled = !changed;
  byId("clear").hidden = session.isModels && session.isAtModelThreshold;
}
