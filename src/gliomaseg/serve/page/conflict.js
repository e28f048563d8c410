/** A mask on the server that is not the one that was opened: another reader or another tab has changed it. */

import { readFile, readJob } from "./api.js";
import { byId, fixed, make, toast } from "./dom.js";
import { areEqual, overlap } from "./voxels.js";
import { readWorkList } from "./workcases.js";

/**
 * @typedef {import("./workcases.js").WorkCase} WorkCase
 * @typedef {import("./session.js").Session} Session
 */

/** Whether somebody has stored a case since it was opened. @param {WorkCase} one @returns {Promise<WorkCase | null>} */
export async function storedSince(one) {
  const now = (await readWorkList()).cases.find((other) => other.case === one.case);
  return now && now.corrected_at !== one.corrected_at ? now : null;
}

/**
 * Compare the server's mask with the one that was opened; if it is another one, let the person choose.
 * @param {import("./workspace.js").Workspace} workspace
 * @param {Session} session
 * @param {WorkCase | null} one its case; an upload has none
 * @returns {Promise<boolean>} whether to go on and save the mask of the page
 */
export async function settle(workspace, session, one) {
  const job = await readJob(session.id);
  const theirs = new Uint8Array(await readFile(session.id, "mask.u8"));
  const stored = one && (await storedSince(one));
  const goOn = () => {
    session.result = { ...session.result, mask_sha256: /** @type {any} */ (job.result).mask_sha256 };
    if (one && stored) one.corrected_at = stored.corrected_at;
  };
  if (!stored && areEqual(theirs, session.saved)) {
    goOn();
    return true;
  }
  const answer = await choose(texts(session, stored, theirs));
  if (answer === "back") return false;
  goOn();
  if (answer === "mine") {
    session.saved = theirs;
    return true;
  }
  session.takeOver(theirs, /** @type {any} */ (job.result));
  workspace.changed(true);
  toast("This is the other mask. Undo (Z) brings yours back.");
  return false;
}

/** @param {Session} session @param {WorkCase | null} stored @param {Uint8Array} theirs */
function texts(session, stored, theirs) {
  const name = stored?.reader ?? "";
  const time = stored?.corrected_at ? new Date(stored.corrected_at).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" }) : "";
  const { both, onlyFirst, onlySecond } = overlap(theirs, session.mask);
  const apart = onlyFirst + onlySecond;
  const dice = apart ? `The two masks have a Dice of ${fixed((2 * both) / (2 * both + apart), 2)}.` : "The two masks are the same.";
  if (!stored) {
    return { title: "The mask was changed elsewhere", theirs: "Look at the other mask", mine: "Save mine in its place",
      lines: ["Another tab or another person has changed the mask of this scan since you opened it.", `Your mask is still on this page; it is not saved. ${dice}`] };
  }
  return { title: `${name} has stored this case`, theirs: `Look at the mask of ${name}`, mine: "Store mine in its place",
    lines: [`${name} stored a mask of ${stored.case} at ${time}, after you had opened the case.`, `Your mask is still on this page; it is not stored. ${dice}`] };
}

/** @returns {Promise<"mine" | "theirs" | "back">} */
function choose({ title, lines, theirs, mine }) {
  byId("conflict-title").textContent = title;
  byId("conflict-lines").replaceChildren(...lines.map((line) => make("p", {}, line)));
  byId("conflict-theirs").textContent = theirs;
  byId("conflict-mine").textContent = mine;
  const dialog = byId("conflict");
  dialog.returnValue = "back"; // of the Escape key
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue || "back"), { once: true }));
}
