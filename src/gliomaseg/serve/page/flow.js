/**
 * From files to a finished job: upload, progress, choice and errors.
 *
 * @typedef {import("./api.js").Job} Job
 */

import { choose, deleteJob, readJob, upload } from "./api.js";
import { focusChoices, showChoices } from "./choices.js";
import { announce, byId } from "./dom.js";

const WAIT_MS = 350;
const STEPS = ["upload", "read", "segment"];

/** Show one of the states: empty, busy, choose, result, error. @param {string} state */
export function showState(state) {
  document.body.dataset.state = state;
  for (const part of document.querySelectorAll("[data-when]")) part.hidden = !part.dataset.when.split(" ").includes(state);
}

export class Flow {
  /**
   * @param {import("./reopen.js").Uploads} uploads
   * @param {{done: (job: Job) => void, changed: () => void, cancelled: () => void, choices: (job: Job) => void}} events `choices`: a list
   *   to choose from is shown
   */
  constructor(uploads, events) {
    this.uploads = uploads;
    this.events = events;
    /** @type {AbortController | null} */
    this.running = null;
    /** @type {string | null} */
    this.id = null;
    byId("cancel").addEventListener("click", () => this.#cancel());
  }

  /** @param {FormData} form @param {string} name */
  async send(form, name) {
    const { signal } = this.#begin(name);
    this.#step("upload", 0, "Sends the files …");
    try {
      const job = await upload(form, (share) => this.#step("upload", share * 100, `${Math.round(share * 100)} % sent`), signal);
      this.uploads.keep(job.id, form);
      this.events.changed();
      await this.#follow(job, signal);
    } catch (fault) {
      this.fail(fault, signal);
    }
  }

  /** Wait for a job that exists. @param {Job} job */
  async follow(job) {
    const { signal } = this.#begin(job.name);
    try {
      await this.#follow(job, signal);
    } catch (fault) {
      this.fail(fault, signal);
    }
  }

  /** Stop waiting; the job goes on. */
  leave() {
    this.running?.abort();
    this.running = null;
    this.id = null;
  }

  /** @param {string} name */
  #begin(name) {
    this.leave();
    this.running = new AbortController();
    byId("busy-name").textContent = name;
    showState("busy");
    byId("cancel").focus();
    return this.running;
  }

  /** @param {Job} job @param {AbortSignal} signal */
  async #follow(job, signal) {
    this.id = job.id;
    let state = "";
    while (!signal.aborted) {
      if (job.state !== state) this.events.changed();
      state = job.state;
      byId("busy-name").textContent = job.name;
      if (state === "done") return this.events.done(job);
      if (state === "failed") return this.fail(new Error(job.error ?? "The scan could not be read."), signal);
      if (state === "choose") return this.#choose(job, signal);
      this.#show(job);
      await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
      if (!signal.aborted) job = await readJob(job.id);
    }
    return undefined;
  }

  /** @param {Job} job */
  #show(job) {
    if (job.state === "queued") this.#step("read", null, "Waits for the scans before it …");
    if (job.state === "reading") this.#step("read", null, "Reads the files …");
    if (job.state === "segmenting") this.#step("segment", job.progress, `Segments: ${Math.round(job.progress)} %`);
  }

  /** @param {string} step @param {number | null} percent null: unknown @param {string} text */
  #step(step, percent, text) {
    const at = STEPS.indexOf(step);
    for (const [i, item] of [...byId("steps").children].entries()) {
      item.className = i < at ? "done" : i === at ? "now" : "";
      if (i === at) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    }
    const bar = byId("busy-bar");
    if (percent === null) bar.removeAttribute("value");
    else bar.value = percent;
    if (byId("busy-text").dataset.step !== step) announce(text);
    byId("busy-text").dataset.step = step;
    byId("busy-text").textContent = text;
  }

  /** @param {Job} job @param {AbortSignal} signal */
  #choose(job, signal) {
    this.events.choices(job);
    showState("choose");
    showChoices(job, (named) => this.#take(job, named, signal));
    focusChoices();
  }

  /** @param {Job} job @param {Record<string, number>} named numbers by sequence @param {AbortSignal} signal */
  async #take(job, named, signal) {
    if (signal.aborted) return;
    showState("busy");
    try {
      const queued = await choose(job.id, named);
      this.uploads.chosen(job.id, named); // a refused choice is made once more
      await this.#follow(queued, signal);
    } catch (fault) {
      this.fail(fault, signal);
    }
  }

  /** @param {any} fault @param {AbortSignal} [signal] */
  fail(fault, signal) {
    if (fault.name === "AbortError" || signal?.aborted) return;
    byId("error-text").textContent = fault.message;
    showState("error");
    announce(`Error: ${fault.message}`);
    byId("error-title").focus();
    this.events.changed();
  }

  async #cancel() {
    const { id } = this;
    this.leave();
    if (id) await deleteJob(id).catch(() => {});
    this.events.cancelled();
  }
}
