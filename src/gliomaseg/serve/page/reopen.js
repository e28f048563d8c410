/** A case of the work list whose job the server has lost, because it was started again or the job expired. */

import { readJob } from "./api.js";
import { openCase } from "./workcases.js";

const WAIT_MS = 350;
const KEPT = "The correction is still on this page.";

/** Whether the server has a job. @param {string} id @returns {Promise<boolean>} */
export async function isThere(id) {
  try {
    await readJob(id);
    return true;
  } catch (fault) {
    if (fault.status === 404) return false;
    throw fault;
  }
}

/**
 * Open a case again, and wait until it is segmented.
 * @param {number} number of the case
 * @param {[number, number, number]} shape of the mask on the page, x, y and z
 * @returns {Promise<import("./api.js").Job>} a finished job with masks of this shape
 */
export async function reopenCase(number, shape) {
  let job = await openCase(number);
  while (["queued", "reading", "segmenting"].includes(job.state)) {
    await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
    job = await readJob(job.id);
  }
  if (job.state === "choose") throw new Error(`The server was started again and has to know the series of this case. ${KEPT} Open the case in another tab, choose the series, then save here again.`);
  if (job.result === null || job.state !== "done") throw new Error(`The server was started again and cannot read the scan: ${job.error}. ${KEPT}`);
  if (job.result.shape_xyz.join() !== shape.join()) throw new Error(`The scan has other voxels than when it was opened: ${job.result.shape_xyz.join(" × ")}, not ${shape.join(" × ")}. ${KEPT}`);
  return job;
}
