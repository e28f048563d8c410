/** The work list: a table of cases, and the bar that leads from one to the next. */

import { storedSince } from "./conflict.js";
import { announce, byId, fixed, inMl, make, toast } from "./dom.js";
import { Reader } from "./reader.js";
import { openCase, readWorkList, storeCase } from "./workcases.js";
import { CaseTimes, WorkTime } from "./worktime.js";

const POLL_MS = 1500;
const MOST_ATTEMPTS = 4; // another person may store the case between two requests

/** @typedef {import("./workcases.js").WorkCase} WorkCase */

export class WorkList {
  /**
   * @param {{open: (job: import("./api.js").Job) => Promise<void>, home: () => void, leave: () => boolean,
   *   save: () => Promise<string>, settle: (one: WorkCase) => Promise<boolean>, stored: () => void}} events `open` resolves when the
   *   scan is shown or left; `save` sends the mask to the server, if it was changed, and returns its SHA-256, or nothing;
   *   `settle` asks whether the mask of another person is replaced; `leave` closes the scan, unless its correction is
   *   not saved and the person stays
   */
  constructor(events) {
    this.events = events;
    /** @type {WorkCase[]} to do first, worst first */
    this.cases = [];
    /** @type {WorkCase | null} the case that is open */
    this.current = null;
    /** @type {Reader | null} */
    this.reader = null;
    this.isBusy = false;
    this.visit = 0; // grows when a case is asked for or left, so that an answer for an earlier one is dropped
    this.time = new WorkTime();
    this.times = new CaseTimes();
    /** @type {Set<number>} */
    this.skipped = new Set();
  }

  get exists() {
    return this.cases.length > 0;
  }

  get done() {
    return this.cases.filter((one) => one.state === "corrected").length;
  }

  /** @param {string} id of a job */
  has(id) {
    return this.cases.some((one) => one.job === id);
  }

  /** Read the list; if the server has one, add its parts to the page. */
  async begin() {
    const { reader, cases } = await readWorkList();
    this.cases = cases;
    if (!this.exists) return;
    this.reader = new Reader(reader ?? "");
    this.#build();
    this.#show();
    setInterval(() => this.#tick(), 1000);
    window.addEventListener("pagehide", () => this.#tick());
    this.#poll();
  }

  async refresh() {
    if (!this.exists) return;
    try {
      this.cases = (await readWorkList()).cases;
      this.#show();
    } catch (fault) {
      toast(fault.message, true);
    }
  }

  async #poll() {
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      if (document.body.dataset.state !== "list" || document.hidden) continue;
      if (this.cases.some((one) => one.state === "waiting")) await this.refresh();
    }
  }

  /** A picture is shown. @param {string} id of its job */
  opened(id) {
    this.current = this.cases.find((one) => one.job === id) ?? null;
    if (!this.current) return;
    this.time.start(this.times.get(this.current.case));
    byId("work-bar").hidden = false;
    this.#showBar();
  }

  /** The picture is left. */
  closed() {
    if (!this.exists) return;
    this.visit += 1;
    if (this.current) this.times.set(this.current.case, this.time.stop());
    this.current = null;
    byId("work-bar").hidden = true;
  }

  focus() {
    byId("work-start").focus();
  }

  /** Store the mask of the open case in the user's folder, and open the next one. */
  async storeAndNext() {
    if (!this.current || this.isBusy) return;
    const { visit, current } = this;
    const { case: name } = current;
    this.#setBusy(true);
    try {
      if (!(await this.#store(current, visit))) return;
      const { number } = current; // another one, if the server has opened the case again
      if (visit === this.visit) this.time.start(0);
      else this.times.set(name, 0);
      this.skipped.delete(number);
      await this.refresh();
      toast(`Stored ${name}`);
      if (visit === this.visit) await this.#next(number);
    } catch (fault) {
      toast(fault.message, true);
    } finally {
      this.#setBusy(false);
    }
  }

  /** @param {WorkCase} current @param {number} visit @returns {Promise<boolean>} whether the mask is stored */
  async #store(current, visit) {
    for (let attempt = 1; ; attempt += 1) {
      if ((await storedSince(current)) && !(await this.events.settle(current))) return false;
      const sha256 = await this.events.save();
      if (!sha256) return false;
      const ms = visit === this.visit ? this.time.advance() : this.times.get(current.case);
      try {
        await storeCase(current.number, { seconds: Math.round(ms / 100) / 10, reader: this.reader.name, mask_sha256: sha256 });
        this.events.stored();
        return true;
      } catch (fault) {
        if (fault.status !== 409 || attempt === MOST_ATTEMPTS) throw fault;
        if (!(await this.events.settle(current))) return false;
      }
    }
  }

  /** Leave the open case as it is, and open the next one. */
  async skip() {
    if (!this.current || this.isBusy) return;
    const { number } = this.current;
    if (!this.events.leave()) return;
    const { visit } = this;
    this.skipped.add(number);
    this.#setBusy(true);
    await this.refresh();
    if (visit === this.visit) await this.#next(number);
    this.#setBusy(false);
  }

  /** @param {number} but the case that is not opened again */
  async #next(but) {
    const left = this.cases.filter((one) => ["segmented", "waiting"].includes(one.state));
    const next = left.find((one) => one.number !== but && !this.skipped.has(one.number));
    if (next) return this.open(next.number);
    this.skipped.clear();
    this.events.home();
    announce(left.length ? "The end of the list. Skipped cases are to do." : "All cases are done.");
    return undefined;
  }

  /** @param {number} number */
  async open(number) {
    this.visit += 1;
    const { visit } = this;
    try {
      this.cases = (await readWorkList()).cases; // the mask that is shown is the one that the row describes
      const job = await openCase(number);
      if (visit !== this.visit) return;
      const one = this.cases.find((other) => other.number === number);
      if (one?.case !== job.name) throw new Error("The list of cases has changed; choose a case again.");
      one.job = job.id;
      await this.events.open(job);
    } catch (fault) {
      if (visit !== this.visit) return;
      toast(fault.message, true);
      this.events.home();
    }
  }

  #setBusy(busy) {
    this.isBusy = busy;
    for (const id of ["work-store", "work-skip"]) byId(id).disabled = busy;
  }

  #build() {
    const start = make("button", { type: "button", id: "work-start", className: "main" });
    start.addEventListener("click", () => this.open(this.#first().number));
    const heads = ["Case", "Dice (predicted)", "Volume", "State"].map((text) => make("th", { scope: "col" }, text));
    byId("main").prepend(make("section", { id: "worklist", className: "card wide", hidden: true, dataset: { when: "list" }, aria: { labelledby: "worklist-title" } },
      make("div", { className: "work-head" }, make("h2", { id: "worklist-title" }, "Work list"), make("p", { id: "work-count", className: "small" })),
      make("progress", { id: "work-progress", aria: { label: "Cases that are done" } }),
      make("div", { className: "row work-row" }, start, make("label", {}, "Reader", this.reader.field)), this.reader.fault,
      make("table", { id: "work-cases" }, make("thead", {}, make("tr", {}, ...heads)), make("tbody"))));
    document.querySelector(".stage-column").prepend(this.#bar());
    const back = make("button", { type: "button", id: "work-open", hidden: true, dataset: { when: "empty result busy choose error" } }, "Work list");
    back.addEventListener("click", () => this.events.leave() && this.events.home());
    byId("open-more").before(back);
    byId("open-more").dataset.when += " list";
  }

  #bar() {
    const store = make("button", { type: "button", id: "work-store", className: "main", title: "Store this mask, open the next case (A)" }, "Save and next");
    const skip = make("button", { type: "button", id: "work-skip", title: "Leave this case, open the next one (N)" }, "Skip");
    store.addEventListener("click", () => this.storeAndNext());
    skip.addEventListener("click", () => this.skip());
    return make("div", { id: "work-bar", className: "bar work-bar", role: "group", hidden: true, aria: { label: "Work list" } },
      make("strong", { id: "work-name" }), make("p", { id: "work-place", className: "small" }), make("div", { className: "row" }, skip, store));
  }

  #first() {
    return this.cases.find((one) => one.state !== "failed") ?? this.cases[0];
  }

  #show() {
    const total = this.cases.length;
    const waiting = this.cases.filter((one) => one.state === "waiting").length;
    byId("work-count").textContent = `${this.done} of ${total} done${waiting ? `, ${waiting} not segmented yet` : ""}`;
    Object.assign(byId("work-progress"), { max: total, value: this.done });
    byId("work-start").textContent = this.done === total ? "Open the last one again" : this.done ? "Go on with the worst" : "Start with the worst";
    const focused = document.activeElement?.closest("tr")?.dataset.number;
    byId("work-cases").tBodies[0].replaceChildren(...this.cases.map((one) => this.#row(one)));
    if (focused) byId("work-cases").querySelector(`tr[data-number="${focused}"] button`)?.focus();
    this.#showBar();
  }

  /** @param {WorkCase} one */
  #row(one) {
    const open = make("button", { type: "button", className: "link" }, ...breakable(one.case));
    open.addEventListener("click", () => this.open(one.number));
    const dice = one.predicted_dice === null ? (one.state === "waiting" ? "" : "–") : fixed(one.predicted_dice, 2);
    const ml = one.tumour_volume_ml === null ? "" : `${inMl(one.tumour_volume_ml)} ml`;
    return make("tr", { className: one.state, dataset: { number: String(one.number) } },
      make("th", { scope: "row" }, open), make("td", { className: "figures" }, dice), make("td", { className: "figures" }, ml),
      make("td", {}, ...state(one)));
  }

  #showBar() {
    if (!this.current) return;
    byId("work-name").textContent = this.current.case;
    this.#tick();
  }

  #tick() {
    if (!this.current) return;
    this.times.set(this.current.case, this.time.advance());
    const clock = inMinutes(this.time.total / 1000) + (this.time.counts ? "" : ", paused");
    byId("work-place").textContent = `${this.done} of ${this.cases.length} done · ${clock} · ${this.reader.name}`;
  }
}

/** A name that breaks after its signs first. @param {string} name @returns {(Node | string)[]} */
function breakable(name) {
  return name.split(/(?<=[_.-])/).flatMap((part) => [part, make("wbr")]);
}

/** @param {WorkCase} one @returns {(Node | string)[]} */
function state(one) {
  if (one.state === "corrected") {
    const what = one.changed_voxels === 0 ? "accepted" : "corrected";
    const note = [one.reader, one.seconds === null ? "" : inMinutes(one.seconds)].filter(Boolean).join(", ");
    return [what, " ", make("span", { className: "small", title: one.corrected_at ?? "" }, note)];
  }
  if (one.state === "failed") return [make("span", { className: "bad" }, "failed"), " ", make("span", { className: "small" }, one.error ?? "")];
  return [one.state === "waiting" ? make("span", { className: "small" }, "waits") : "to do"];
}

/** @param {number} seconds */
function inMinutes(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}
