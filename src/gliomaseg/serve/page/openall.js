/** All scans of one upload: a job for each of them. The first one is shown, the others are in the list of this sitting. */

import { copyScan, deleteJob } from "./api.js";
import { byId, toast } from "./dom.js";

/** @typedef {import("./api.js").Job} Job */

export class OpenAll {
  /**
   * @param {import("./reopen.js").Uploads} uploads
   * @param {{open: (job: Job) => void, changed: () => void}} events
   */
  constructor(uploads, events) {
    this.uploads = uploads;
    this.events = events;
    /** @type {Job | null} the upload whose list is shown */
    this.job = null;
    byId("choose-all").addEventListener("click", () => this.job && this.#openAll(this.job));
  }

  /** The list of an upload is shown. The series of one study are one case, so they are not opened all. @param {Job} job */
  offer(job) {
    this.job = job;
    const readable = numbers(job);
    byId("choose-all-row").hidden = readable.length < 2 || (job.choices ?? []).some((choice) => choice.usable_as.length > 1);
    byId("choose-all").disabled = false;
    byId("choose-all").textContent = `Open all ${readable.length}`;
    byId("choose-all-note").textContent = "One after another: the first one is shown, the others come into the list of this sitting.";
  }

  /** @param {Job} job */
  async #openAll(job) {
    byId("choose-all").disabled = true;
    const left = numbers(job);
    const broken = (job.choices ?? []).length - left.length;
    if (broken) toast(`${broken} of the scans cannot be read.`, true);
    try {
      for (let first = true; left.length; first = false) {
        const made = await this.#copy(job.id, left[0], left.length);
        this.uploads.copied(job.id, left[0], made.id);
        left.shift();
        if (first && this.job === job && document.body.dataset.state === "choose") this.events.open(made);
        this.events.changed();
      }
      await deleteJob(job.id); // each of its scans has a job now
    } catch (fault) {
      toast(left.length ? `${left.length} scans are not opened: ${fault.message}` : fault.message, true);
    }
    this.#note("");
    this.events.changed();
  }

  /** Wait while the queue of the server is full. @param {string} id @param {number} number @param {number} left scans */
  async #copy(id, number, left) {
    for (;;) {
      try {
        return await copyScan(id, number);
      } catch (fault) {
        if (fault.status !== 503 || fault.retryS === null) throw fault;
        this.#note(`The queue of the server is full. ${left} more ${left === 1 ? "scan waits" : "scans wait"} for room; keep this page open.`);
        await new Promise((resolve) => setTimeout(resolve, fault.retryS * 1000));
        this.#note("");
      }
    }
  }

  /** @param {string} text */
  #note(text) {
    byId("jobs-note").hidden = !text;
    byId("jobs-note").textContent = text;
  }
}

/** Scans of an upload that can be read. @param {Job} job */
function numbers(job) {
  return (job.choices ?? []).filter((choice) => !choice.error).map((choice) => choice.number);
}
