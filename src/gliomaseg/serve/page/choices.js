/**
 * The list of an upload with several scans, or of a study with several series: which one is FLAIR, and which is T1.
 *
 * @typedef {import("./api.js").Job} Job
 * @typedef {import("./api.js").Choice} Choice
 */

import { fileUrl } from "./api.js";
import { announce, byId, make } from "./dom.js";

const LABELS = { flair: "FLAIR", t1: "T1", t1ce: "T1ce" };
const BY_HEADER = { flair: "FLAIR", t1: "T1 before contrast", t1ce: "T1 after contrast", t2: "T2" };

/** Show the choices of a job. @param {Job} job @param {(named: Record<string, number>) => void} take numbers by sequence; FLAIR is always there */
export function showChoices(job, take) {
  const choices = job.choices ?? [];
  const isStudy = choices.some((choice) => choice.usable_as.length > 1);
  byId("choose-title").textContent = isStudy ? "Choose the series" : "Choose a scan";
  byId("choose-scan").hidden = isStudy;
  byId("choose-series").hidden = !isStudy;
  byId("choose-row").hidden = !isStudy;
  if (isStudy) new SeriesChoice(job, choices, take);
  else byId("choices").replaceChildren(...choices.map((choice) => make("li", {}, scanButton(job, choice, take))));
  announce(isStudy ? "The study has several series. Choose FLAIR, and T1 if there is one." : "The upload has several scans. Choose one.");
}

/** Give the focus to the first choice; the list must be visible. */
export function focusChoices() {
  (byId("choices").querySelector('[aria-pressed="true"]') ?? byId("choices").querySelector("button:enabled"))?.focus();
}

/** @param {Job} job @param {Choice} choice @param {(named: Record<string, number>) => void} take */
function scanButton(job, choice, take) {
  const button = make("button", { type: "button", className: "choice", disabled: Boolean(choice.error) }, ...described(job, choice));
  button.addEventListener("click", () => take({ flair: choice.number }));
  return button;
}

/** @param {Job} job @param {Choice} choice */
function described(job, choice) {
  const of = encodeURIComponent(choice.series ?? ""); // the second list of a job has other pictures of the same numbers
  const src = fileUrl(job.id, `choices/${choice.number}.png?of=${of}`);
  const picture = choice.error ? make("span", { className: "no-picture" }, "!") : make("img", { src, alt: "", width: 160, height: 160 });
  return [picture, make("strong", {}, choice.title), make("span", { className: "small" }, note(choice))];
}

/** @param {Choice} choice */
function note(choice) {
  if (choice.error) return choice.error;
  const voxels = Array.isArray(choice.voxels) ? `${choice.voxels.join(" × ")} voxels` : "";
  return [voxels, choice.sequence ? `${BY_HEADER[choice.sequence]} by its header` : ""].filter(Boolean).join(", ");
}

/** The series of one study; each sequence has at most one series, and each series one sequence. */
class SeriesChoice {
  /** @param {Job} job @param {Choice[]} choices @param {(named: Record<string, number>) => void} take */
  constructor(job, choices, take) {
    this.choices = choices;
    const flair = choices.filter((choice) => choice.sequence === "flair" && !choice.error);
    /** @type {Record<string, number>} numbers by sequence; only FLAIR is chosen by its header */
    this.named = flair.length === 1 ? { flair: flair[0].number } : {};
    byId("choices").replaceChildren(...choices.map((choice) => this.#card(job, choice)));
    byId("choose-done").onclick = () => take(this.named);
    this.#show();
  }

  /** @param {Job} job @param {Choice} choice */
  #card(job, choice) {
    const buttons = choice.usable_as.map((sequence) => {
      const dataset = { sequence, number: choice.number };
      const button = make("button", { type: "button", dataset, disabled: Boolean(choice.error) }, LABELS[sequence]);
      button.addEventListener("click", () => this.#toggle(sequence, choice.number));
      return button;
    });
    const group = make("div", { className: "group", role: "group", aria: { label: `${choice.title} is` } }, ...buttons);
    return make("li", { className: "choice series" }, ...described(job, choice), group);
  }

  /** @param {string} sequence @param {number} number */
  #toggle(sequence, number) {
    const wasChosen = this.named[sequence] === number;
    const others = Object.entries(this.named).filter(([name, other]) => name !== sequence && other !== number);
    this.named = Object.fromEntries(others);
    if (!wasChosen) this.named[sequence] = number;
    this.#show();
    announce(byId("choose-summary").textContent);
  }

  #show() {
    for (const button of byId("choices").querySelectorAll("[data-sequence]")) {
      const isChosen = this.named[button.dataset.sequence] === Number(button.dataset.number);
      button.setAttribute("aria-pressed", String(isChosen));
    }
    byId("choose-done").disabled = this.named.flair === undefined;
    byId("choose-summary").textContent = this.choices[0].usable_as.map((name) => `${LABELS[name]}: ${this.#title(name)}`).join("; ");
  }

  /** @param {string} sequence */
  #title(sequence) {
    const chosen = this.choices.find((choice) => choice.number === this.named[sequence]);
    return chosen?.title ?? (sequence === "flair" ? "not chosen yet" : "none");
  }
}
