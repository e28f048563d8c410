/** Time of work on a case: it counts while the page is visible, and until 60 s after the last input. */

const IDLE_MS = 60_000;
const KEPT = "gliomaseg-times";
const INPUTS = ["pointerdown", "pointermove", "keydown", "wheel", "input"];

export class WorkTime {
  /** @param {() => number} [now] in ms; tests have a clock of their own */
  constructor(now = () => performance.now()) {
    this.now = now;
    this.total = 0;
    this.running = false;
    this.counted = 0;
    this.lastInput = 0;
    for (const name of INPUTS) document.addEventListener(name, () => this.input(), { passive: true, capture: true });
    document.addEventListener("visibilitychange", () => (this.isVisible ? this.#resume() : this.advance()));
  }

  get isVisible() {
    return document.visibilityState === "visible";
  }

  /** Begin with the time of earlier work on the case. @param {number} ms */
  start(ms) {
    this.total = ms;
    this.running = true;
    this.counted = this.now();
    this.lastInput = this.counted;
  }

  /** @returns {number} ms */
  stop() {
    this.advance();
    this.running = false;
    return this.total;
  }

  /** Whether time counts now. */
  get counts() {
    return this.running && this.isVisible && this.now() - this.lastInput < IDLE_MS;
  }

  input() {
    if (!this.running || !this.isVisible) return;
    this.advance();
    this.#resume();
  }

  #resume() {
    this.counted = this.now();
    this.lastInput = this.counted;
  }

  /** Add what has passed; the page was visible since `counted`, unless it was idle. @returns {number} ms in all */
  advance() {
    const until = Math.min(this.now(), this.lastInput + IDLE_MS);
    if (this.running && until > this.counted) {
      this.total += until - this.counted;
      this.counted = until;
    }
    return this.total;
  }
}

/** Time of work on cases that are not stored yet; a reload of the page keeps it. */
export class CaseTimes {
  constructor() {
    /** @type {Record<string, number>} ms by the name of the case */
    this.byCase = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
  }

  /** @param {string} name @returns {number} ms; 0 for a case without work */
  get(name) {
    return Object.hasOwn(this.byCase, name) ? this.byCase[name] : 0;
  }

  /** @param {string} name @param {number} ms */
  set(name, ms) {
    this.byCase[name] = ms;
    sessionStorage.setItem(KEPT, JSON.stringify(this.byCase));
  }
}
