/**
 * The list of scans that were opened in this sitting.
 *
 * @typedef {import("./api.js").Job} Job
 */

import { deleteJob, fileUrl, listJobs } from "./api.js";
import { byId, fixed, icon, make, toast } from "./dom.js";

const STATES = { queued: "waits", reading: "reads", choose: "choose a scan", segmenting: "segments", failed: "failed" };

const BUSY = ["queued", "reading", "segmenting"];
const POLL_MS = 1500;

export class JobList {
  /**
   * @param {{open: (job: Job) => void, deleted: (ids: string[]) => void, isUnsaved: () => boolean,
   *   beforeDelete: () => Promise<void>}} events `isUnsaved` of the open scan; `beforeDelete` learns which jobs are cases
   *   of the work list
   */
  constructor(events) {
    this.events = events;
    /** @type {Job[]} */
    this.jobs = [];
    /** @type {string | null} */
    this.current = null;
    this.version = 0;
    this.timer = 0; // of the next refresh, while a job runs
    this.requests = 0; // for the list, so far
    this.newest = 0; // number of the request whose answer is shown
    /** Whether a job is shown elsewhere: as a case of the work list. @type {(id: string) => boolean} */
    this.isElsewhere = () => false;
    /** @type {Map<string, HTMLImageElement>} */
    this.pictures = new Map();
    byId("delete-all").addEventListener("click", () => this.#deleteAll());
    byId("next-case").addEventListener("click", () => this.openNext());
  }

  async refresh() {
    const request = ++this.requests;
    try {
      const jobs = await listJobs();
      if (request < this.newest) return; // answers may overtake each other
      this.newest = request;
      this.jobs = jobs;
    } catch (fault) {
      toast(fault.message, true);
      return;
    }
    this.show();
    clearTimeout(this.timer);
    if (this.listed.some((job) => BUSY.includes(job.state))) this.timer = setTimeout(() => this.refresh(), POLL_MS);
  }

  /** @param {string | null} id of the job that is open */
  mark(id) {
    this.current = id;
    this.show();
  }

  /** Jobs of this sitting without those of the work list. @returns {Job[]} */
  get listed() {
    return this.jobs.filter((job) => !this.isElsewhere(job.id));
  }

  show() {
    const { listed } = this;
    byId("jobs").hidden = !listed.length;
    document.body.classList.toggle("has-jobs", listed.length > 0);
    byId("next-case").hidden = this.inOrder().length < 2;
    const focused = document.activeElement?.closest("#job-list li")?.dataset.job;
    byId("job-list").replaceChildren(...listed.map((job) => this.#row(job)));
    if (focused) byId("job-list").querySelector(`[data-job="${focused}"] .job`)?.focus();
  }

  /** Finished jobs, lowest predicted Dice first; those without one come last. @returns {Job[]} */
  inOrder() {
    const dice = (job) => job.result?.predicted_dice ?? 2;
    return this.listed.filter((job) => job.state === "done").sort((a, b) => dice(a) - dice(b));
  }

  /** Open the case after the open one in the order of the predicted Dice. */
  openNext() {
    const cases = this.inOrder();
    const next = cases[(cases.findIndex((job) => job.id === this.current) + 1) % cases.length];
    if (next && next.id !== this.current) this.events.open(next);
  }

  #row(job) {
    const open = make("button", { type: "button", className: "job", aria: { current: String(job.id === this.current) } });
    if (job.state === "done") {
      open.append(this.#picture(job.id));
    } else open.append(make("span", { className: "no-picture" }, job.state === "failed" ? "!" : "…"));
    open.append(make("span", { className: "job-name" }, job.name), make("span", { className: "small" }, this.#note(job)));
    open.addEventListener("click", () => this.events.open(job));
    const bin = make("button", { type: "button", className: "quiet bin", title: "Delete", aria: { label: `Delete ${job.name}` } }, icon("bin"));
    bin.addEventListener("click", () => this.#deleteOne(job));
    return make("li", { dataset: { job: job.id } }, open, bin);
  }

  /** The open case is drawn anew after each correction, the others are kept. */
  #picture(id) {
    const kept = this.pictures.get(id);
    if (kept && (id !== this.current || kept.dataset.version === String(this.version))) return kept;
    const src = `${fileUrl(id, "preview.png")}?v=${this.version}`;
    const picture = make("img", { src, alt: "", width: 116, height: 80, dataset: { version: this.version } });
    this.pictures.set(id, picture);
    return picture;
  }

  #note(job) {
    if (job.state !== "done") return STATES[job.state] ?? job.state;
    const dice = job.result?.predicted_dice;
    const score = typeof dice === "number" ? `predicted Dice ${fixed(dice, 2)}` : "no tumour";
    return job.result?.corrected ? `${score}, corrected` : score;
  }

  async #deleteOne(job) {
    const warning = this.#warning([job]);
    if (!warning || window.confirm(`Delete ${job.name} from the server?${warning}`)) await this.#delete([job]);
  }

  async #deleteAll() {
    await this.events.beforeDelete();
    await this.refresh();
    const { listed } = this;
    const question = "Delete all scans of this sitting and their masks from the server?";
    if (listed.length && window.confirm(question + this.#warning(listed))) await this.#delete(listed);
  }

  /** @param {Job[]} listed */
  #warning(listed) {
    const isLost = listed.some((job) => job.id === this.current) && this.events.isUnsaved();
    return isLost ? " The correction of the open scan is not saved." : "";
  }

  /** @param {Job[]} listed */
  async #delete(listed) {
    const gone = [];
    try {
      for (const { id } of listed) {
        await deleteJob(id).catch((fault) => {
          if (fault.status !== 404) throw fault;
        });
        gone.push(id);
      }
    } catch (fault) {
      toast(fault.message, true);
    }
    this.events.deleted(gone);
    await this.refresh();
  }
}
