/** A scan whose job the server has lost: it expired, was removed for lack of room, or the server was started again. */

import { choose, readFile, readJob, upload } from "./api.js";
import { openCase, readWorkList } from "./workcases.js";

/** @typedef {import("./api.js").Job} Job */

const WAIT_MS = 350;
const CONTACT_MS = 60_000;
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

/** Asks now and then, while a person corrects, whether the server has the scan. The request also keeps it from expiring. */
export class Contact {
  constructor() {
    /** @type {import("./session.js").Session | null} */
    this.session = null;
    this.at = 0;
  }

  /** @param {import("./session.js").Session | null} session that is corrected @returns {Promise<boolean>} whether it is lost */
  async isLost(session) {
    if (session !== this.session) Object.assign(this, { session, at: Date.now() });
    if (!session || session.isExpired || Date.now() - this.at < CONTACT_MS) return false;
    this.at = Date.now();
    return !(await isThere(session.id).catch(() => true)); // a server that does not answer is a fault of the next save
  }
}

/** Forms of the uploads of this page, by job: files are read again from disk if the server loses them. */
export class Uploads {
  constructor() {
    /** @type {Map<string, {form: FormData, named: Record<string, number>[]}>} `named`: of each list, in order */
    this.sent = new Map();
  }

  /** @param {string} id of a job @param {FormData} form that made it @param {Record<string, number>[]} named numbers by sequence, of each list */
  keep(id, form, named = []) {
    this.sent.set(id, { form, named });
  }

  /** A choice comes after those before. @param {string} id of a job with a list @param {Record<string, number>} named numbers by sequence */
  chosen(id, named) {
    this.sent.get(id)?.named.push(named);
  }

  /** The server does not ask for the series of a copy. @param {string} id of a job with several scans @param {number} number of one @param {string} copy its job */
  copied(id, number, copy) {
    const entry = this.sent.get(id);
    if (!entry) return;
    const form = new FormData();
    for (const [field, value] of entry.form) if (field !== "ask") form.append(field, value);
    this.keep(copy, form, [{ flair: number }]);
  }

  /** @param {string[]} ids of jobs that a person has deleted */
  forget(ids) {
    for (const id of ids) this.sent.delete(id);
  }

  /**
   * Send the files of a job again.
   * @param {string} id
   * @returns {Promise<Job | null>} null if this page did not send it
   */
  async sendAgain(id) {
    const entry = this.sent.get(id);
    if (!entry) return null;
    let job = await finished(await upload(entry.form, () => {}, new AbortController().signal));
    for (const named of entry.named) if (job.state === "choose") job = await finished(await choose(job.id, named));
    this.keep(job.id, entry.form, entry.named);
    this.sent.delete(id);
    return job;
  }
}

/** @param {Job} job @returns {Promise<Job>} the job when it neither waits nor runs */
async function finished(job) {
  while (["queued", "reading", "segmenting"].includes(job.state)) {
    await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
    job = await readJob(job.id);
  }
  return job;
}

/**
 * Give a session a new job, with its masks on the same grid. The correction stays as it is on the page.
 * @param {import("./session.js").Session} session
 * @param {import("./workcases.js").WorkCase | null} one its case; an upload has none
 * @param {Uploads} uploads
 */
export async function reopen(session, one, uploads) {
  const { job, isSame } = one ? await reopenCase(one) : { job: await uploads.sendAgain(session.id), isSame: true };
  if (!job) {
    session.isExpired = true;
    throw new Error("The server has lost this scan, so the correction cannot be saved there, and this page does not have its files. Nothing is lost on this page: keep it open as long as you need the correction.");
  }
  require(job, session.shape);
  const mask = new Uint8Array(await readFile(job.id, "mask.u8"));
  session.id = job.id;
  if (one) one.job = job.id;
  if (isSame) session.markKept(/** @type {any} */ (job.result).mask_sha256, mask);
}

/**
 * Open a case again. Its number may be another one, if scans were added to the folder.
 * @param {import("./workcases.js").WorkCase} one takes over its number
 * @returns {Promise<{job: Job, isSame: boolean}>} `isSame`: nobody has stored the case since it was opened
 */
async function reopenCase(one) {
  const found = (await readWorkList()).cases.find((other) => other.case === one.case);
  if (!found) throw new Error(`The server has no case ${one.case} any more; start it with the same folders. ${KEPT}`);
  const job = await finished(await openCase(found.number));
  one.number = found.number;
  return { job, isSame: found.corrected_at === one.corrected_at };
}

/** @param {Job} job @param {[number, number, number]} shape of the mask on the page, x, y and z */
function require(job, shape) {
  if (job.state === "choose") throw new Error(`The server has lost the scan and has to know its series again. ${KEPT} Open it in another tab, choose the series, then save here again.`);
  if (job.result === null || job.state !== "done") throw new Error(`The server has lost the scan and cannot read it again: ${job.error}. ${KEPT}`);
  if (job.result.shape_xyz.join() !== shape.join()) throw new Error(`The scan has other voxels than when it was opened: ${job.result.shape_xyz.join(" × ")}, not ${shape.join(" × ")}. ${KEPT}`);
}
