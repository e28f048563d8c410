/** A case of the work list whose job the server has lost, because it was started again or the job expired. */

import { readJob } from "./api.js";
import { openCase, readWorkList } from "./workcases.js";

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
 * Open a case again, and wait until it is segmented. Its number may be another one, if scans were added to the folder.
 * @param {import("./workcases.js").WorkCase} one takes over its number and job
 * @param {[number, number, number]} shape of the mask on the page, x, y and z
 * @returns {Promise<{job: import("./api.js").Job, isSame: boolean}>} a finished job with masks of this shape, and
 *   whether nobody has stored the case since it was opened
 */
export async function reopenCase(one, shape) {
  const found = (await readWorkList()).cases.find((other) => other.case === one.case);
  if (!found) throw new Error(`The server has no case ${one.case} any more; start it with the same folders. ${KEPT}`);
  let job = await openCase(found.number);
  while (["queued", "reading", "segmenting"].includes(job.state)) {
    await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
    job = await readJob(job.id);
  }
  if (job.state === "choose") throw new Error(`The server was started again and has to know the series of this case. ${KEPT} Open the case in another tab, choose the series, then save here again.`);
  if (job.result === null || job.state !== "done") throw new Error(`The server was started again and cannot read the scan: ${job.error}. ${KEPT}`);
  if (job.result.shape_xyz.join() !== shape.join()) throw new Error(`The scan has other voxels than when it was opened: ${job.result.shape_xyz.join(" × ")}, not ${shape.join(" × ")}. ${KEPT}`);
  Object.assign(one, { number: found.number, job: job.id });
  return { job, isSame: found.corrected_at === one.corrected_at };
}
