/** The name of the person who corrects, as the server takes it. */

import { make } from "./dom.js";

const KEPT = "gliomaseg-reader";
const LONGEST = 100;
// Letters that are not shown, and all spaces but the plain one; a table would read the first letters as a formula.
const REFUSED = /[\p{C}\p{Zl}\p{Zp}\\]|(?! )\p{Zs}/u;
const FORMULA = /^[=+\-@]/;

/** @param {string} name without spaces around it */
export function isReader(name) {
  const { length } = [...name];
  return length > 0 && length <= LONGEST && !REFUSED.test(name) && !FORMULA.test(name);
}

export class Reader {
  /** @param {string} name of the server */
  constructor(name) {
    const kept = sessionStorage.getItem(KEPT) ?? "";
    this.name = isReader(kept) ? kept : name;
    this.field = make("input", { type: "text", id: "reader", value: this.name, autocomplete: "name", aria: { describedby: "reader-fault" } });
    this.fault = make("p", { id: "reader-fault", className: "refusal", role: "alert", hidden: true });
    this.field.addEventListener("input", () => this.#check());
    this.field.addEventListener("change", () => this.#take());
    this.#check();
  }

  /** Mark the field if the server would refuse its name. @returns {boolean} whether the server takes it */
  #check() {
    const isTaken = isReader(this.field.value.trim());
    this.field.setAttribute("aria-invalid", String(!isTaken));
    this.fault.hidden = isTaken;
    this.fault.textContent = isTaken ? "" : `A reader has 1 to ${LONGEST} letters, no \\ and none of = + - @ at the beginning; masks are stored with “${this.name}” until then.`;
    return isTaken;
  }

  #take() {
    if (!this.#check()) return;
    this.name = this.field.value.trim();
    sessionStorage.setItem(KEPT, this.name);
  }
}
