/** Saving the correction, and links to take mask and values away. */

import { fileUrl, readJob, restoreMask, saveMask } from "./api.js";
import { byId, make, toast } from "./dom.js";
import { changesText } from "./panel.js";

const FILES = [
  { format: "nifti", file: "mask.nii.gz", label: "NIfTI", missing: "the scan has no affine" },
  { format: "dicom-seg", file: "seg.dcm", label: "DICOM SEG", missing: "the scan is not a DICOM series" },
  { format: "tiff", file: "mask.tif", label: "TIFF", missing: "the scan cannot be written as TIFF" },
  { format: null, file: "preview.png", label: "Report (PNG)", missing: "" },
  { format: null, file: "result.json", label: "Values (JSON)", missing: "" },
];

/**
 * @param {import("./workspace.js").Workspace} workspace
 * @param {() => Promise<boolean>} store sends the mask to the server
 * @param {boolean} isCase whether the scan is of the work list, where another button stores the mask
 * @returns {HTMLElement[]} sections of the panel
 */
export function buildTakeAway(workspace, store, isCase) {
  const { session } = workspace;
  const save = make("button", { type: "button", id: "save", className: "main", hidden: isCase }, "Save correction");
  const clear = make("button", { type: "button", id: "clear", className: "quiet" }, "Back to the model's mask");
  save.addEventListener("click", store);
  clear.addEventListener("click", () => {
    session.clear();
    workspace.setThreshold(session.result.threshold);
  });
  const links = FILES.map((entry) => link(workspace, entry, store));
  const missing = FILES.filter((entry) => entry.format && !session.result.formats.includes(entry.format));
  const reasons = missing.map((entry) => `${entry.label}: ${entry.missing}`).join("; ");
  return [
    make("section", { className: "correction" }, make("h3", {}, "Correction"), make("p", { id: "changes", className: "small" }),
      ...(isCase ? [make("p", { className: "small" }, "“Save and next” stores the mask in the folder of corrected masks.")] : []),
      make("div", { className: "row" }, save, clear)),
    make("section", { className: "take" }, make("h3", {}, "Take away"),
      make("p", { className: "small" }, "The mask as you see it, on the grid of the scan. It is saved first."),
      make("div", { className: "row" }, ...links), ...(reasons ? [make("p", { className: "small" }, `Not for this scan: ${reasons}.`)] : [])),
  ];
}

/** @param {import("./workspace.js").Workspace} workspace */
function link(workspace, { format, file, label }, store) {
  const { session } = workspace;
  const there = format === null || session.result.formats.includes(format);
  if (!there) return make("button", { type: "button", disabled: true }, label);
  const anchor = make("a", { className: "button", href: fileUrl(session.id, file), download: "", dataset: { file } }, label);
  let isReady = false;
  anchor.addEventListener("click", async (event) => {
    if (isReady) {
      isReady = false;
      return;
    }
    event.preventDefault();
    isReady = (!session.isChanged && (await hasMask(session).catch(() => false))) || (await store());
    anchor.href = fileUrl(session.id, file); // the job may be another one since
    if (isReady) anchor.click();
  });
  return anchor;
}

/** Whether the server still has the mask that the page shows. @param {import("./session.js").Session} session */
async function hasMask(session) {
  const job = await readJob(session.id);
  return job.result?.mask_sha256 === session.result.mask_sha256;
}

const MOST_ATTEMPTS = 4; // the server may lose the scan, and another person may store it
let last = Promise.resolve(true);

/**
 * Send the mask to the server, so that files have it; one request after another.
 * @param {import("./workspace.js").Workspace} workspace
 * @param {{saved: () => void, reopen: (session: import("./session.js").Session) => Promise<void>,
 *   settle: (session: import("./session.js").Session) => Promise<boolean>}} events `reopen` gives the session a new job,
 *   if the server has lost the old one; `settle` asks the person, if the server has another mask than the one that was
 *   opened, and returns whether to go on
 * @returns {Promise<boolean>} whether the server has the mask
 */
export async function saveNow({ session, painter }, events) {
  if (!session || painter.isBusy) return false;
  last = last.catch(() => false).then(() => save(session, events));
  return last;
}

async function save(session, events) {
  const mask = session.mask.slice();
  try {
    const result = await send(session, mask, events);
    if (!result) return false;
    session.markSaved(result, mask);
  } catch (fault) {
    toast(fault.message, true);
    return false;
  }
  toast(session.result.corrected ? "Correction saved" : "The model's mask is kept");
  events.saved();
  return true;
}

/** @returns {Promise<import("./api.js").Result | null>} null if the person does not replace the mask of the server */
async function send(session, mask, { reopen, settle }) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const former = session.result.mask_sha256;
      return await (session.isModels ? restoreMask(session.id, former) : saveMask(session.id, mask, former));
    } catch (fault) {
      if (![404, 409].includes(fault.status) || attempt === MOST_ATTEMPTS) throw fault;
      if (fault.status === 404) await reopen(session);
      else if (!(await settle(session))) return null;
    }
  }
}

/** @param {import("./workspace.js").Workspace} workspace @param {any} measures */
export function showCorrection(workspace, measures) {
  const { session } = workspace;
  const changed = session.isChanged;
  const state = session.isExpired ? " Not saved: the scan expired on the server. Keep this page open." : " Not saved yet.";
  byId("changes").textContent = changesText(workspace, measures) + (changed ? state : "");
  byId("save").disabled = !changed;
  byId("clear").hidden = session.isModels && session.isAtModelThreshold;
}
