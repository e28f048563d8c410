/**
 * The column of results: first what matters.
 *
 * @typedef {import("./api.js").Result} Result
 * @typedef {import("./workspace.js").Workspace} Workspace
 * @typedef {ReturnType<import("./session.js").Session["measure"]>} Measures
 */

import { byId, fixed, inMl, make } from "./dom.js";
import { topSlices, voxelsBetween } from "./measure.js";
import { INTERVAL } from "./session.js";

const PERCENT = 100;
const APART_MM = 5; // the bundled models merge thinner slices
/** Build the column for an opened case. @param {Workspace} workspace @param {HTMLElement[]} more sections at the end */
export function buildPanel(workspace, more) {
  const { result } = workspace.session;
  byId("panel").replaceChildren(
    head(result), make("div", { id: "numbers", className: "numbers" }), ...warnings(result), threshold(workspace),
    ...unsure(workspace), ...more, card(result),
  );
}

function head(result) {
  const time = result.seconds === undefined ? "" : `, ${fixed(result.seconds, 1)} s`;
  const models = result.models.join(" and ") + time;
  const lines = [models, ...result.left_out].map((line) => make("p", { className: "small" }, line));
  return make("header", { className: "head" }, make("h2", { title: result.input }, result.input), ...lines);
}

function warnings(result) {
  if (!result.warnings.length) return [];
  return [make("section", { className: "warnings" }, make("h3", {}, "Check this first"),
    make("ul", {}, ...result.warnings.map((line) => make("li", {}, line))))];
}

/** @param {Workspace} workspace */
function threshold(workspace) {
  const { session } = workspace;
  const slider = make("input", { type: "range", id: "threshold", min: "0.01", max: "0.99", step: "0.01", value: String(session.threshold) });
  slider.addEventListener("input", () => workspace.setThreshold(atModels(Number(slider.value), session.result.threshold)));
  const back = make("button", { type: "button", className: "quiet", id: "threshold-reset" }, `Model's: ${fixed(session.result.threshold, 2)}`);
  back.addEventListener("click", () => workspace.setThreshold(session.result.threshold));
  return make("section", { className: "threshold" },
    make("label", { htmlFor: "threshold" }, make("span", {}, "Threshold"), make("output", { id: "threshold-out", htmlFor: "threshold" })),
    slider, make("div", { className: "between" }, make("span", { className: "small" }, "Lower: larger mask"), back));
}

/** A slider has steps; the model's own threshold may lie between two. */
function atModels(value, own) {
  return Math.abs(value - own) < 0.005 ? own : value;
}

/**
 * Slices to check: those of middle probability first. They have more wrong voxels than those that differ from their mirror
 * image (docs/results/plausibility.md).
 * @param {Workspace} workspace
 */
function unsure(workspace) {
  const { probability, shape, spacingMm, result } = workspace.session;
  const apart = spacingMm ? Math.max(1, Math.round(APART_MM / spacingMm[2])) : 1;
  const rules = [
    [voxelsBetween(probability, shape, INTERVAL), `Largest areas of probability ${INTERVAL.join(" to ")}`, `between ${INTERVAL.join(" and ")}`],
    [result.mirror_disagreement_voxels ?? [], "Masks of slice and mirror image differ", "in only one of both"],
  ];
  const lists = rules.flatMap(([voxels, title, what]) => {
    const entries = topSlices(voxels, apart).map((one) => entry(workspace, one, what));
    return entries.length ? [make("h4", {}, title), make("ol", {}, ...entries)] : [];
  });
  return lists.length ? [make("section", { className: "unsure" }, make("h3", {}, "Where the model is unsure"), ...lists)] : [];
}

/** @param {Workspace} workspace @param {{z: number, voxels: number}} slice @param {string} what */
function entry(workspace, { z, voxels }, what) {
  const text = ` ${area(voxels, workspace.session.spacingMm)} ${what}`;
  const button = make("button", { type: "button" }, make("b", {}, `Slice ${z + 1}`), text);
  button.addEventListener("click", () => workspace.goToSlice(z));
  return make("li", {}, button);
}

/** @param {number} voxels of one slice @param {[number, number, number] | null} spacingMm */
function area(voxels, spacingMm) {
  if (!spacingMm) return `${fixed(voxels, 0)} pixels`;
  const cm2 = (voxels * spacingMm[0] * spacingMm[1]) / 100;
  return `${fixed(cm2, cm2 >= 1 ? 1 : 2)} cm²`;
}

function card(result) {
  const text = make("p", { className: "card-text" }, result.card ?? "");
  return make("section", { className: "about" },
    ...(result.card ? [make("details", {}, make("summary", {}, "About the model and its limits"), text)] : []),
    make("p", { className: "small" }, "Research software, not a medical device. Do not use it to diagnose or to treat."));
}

/** Show the values of the mask as it is drawn. @param {Workspace} workspace @param {Measures} measures */
export function showNumbers(workspace, measures) {
  const { session } = workspace;
  byId("threshold").value = String(session.threshold);
  byId("threshold-out").textContent = fixed(session.threshold, 2);
  byId("threshold-reset").hidden = session.isAtModelThreshold;
  const parts = measures.voxels ? figures(workspace, measures) : nothing(session);
  byId("numbers").replaceChildren(...parts);
}

function nothing(session) {
  let most = 0;
  for (const one of session.probability) if (one > most) most = one;
  const where = most
    ? `The largest probability is ${fixed(most / 255, 2)}. Lower the threshold to see where it lies.`
    : "The probability is 0 in all voxels.";
  return [make("div", { className: "figure nothing" }, make("strong", {}, "No tumour found"),
    make("p", { className: "small" }, `No voxel is in the mask at the threshold ${fixed(session.threshold, 2)}. ${where}`),
    make("p", { className: "small" }, "This does not exclude a tumour: the model misses small and faint ones."))];
}

function figures(workspace, measures) {
  const { result } = workspace.session;
  return [volume(measures), diameters(workspace, measures.diameters), dice(result, measures)].filter(Boolean);
}

/** @param {string} name @param {string} value @param {string} unit @param {...(Node | string)} notes */
function figure(name, value, unit, ...notes) {
  return make("div", { className: "figure" }, make("h3", {}, name),
    make("p", { className: "value" }, make("strong", {}, value), unit ? ` ${unit}` : ""), ...notes);
}

function volume({ ml, voxels, intervalMl }) {
  if (ml === null) return figure("Volume", fixed(voxels, 0), "voxels", make("p", { className: "small" }, "The voxel spacing is unknown, so there are no millilitres."));
  const note = make("p", { className: "small" }, make("b", {}, `${inMl(intervalMl[0])} to ${inMl(intervalMl[1])} ml`), ` at the thresholds ${INTERVAL[1]} to ${INTERVAL[0]}`);
  return figure("Volume", inMl(ml), "ml", note);
}

/** @param {Workspace} workspace @param {Measures["diameters"]} found */
function diameters(workspace, found) {
  if (!found) return null;
  const go = make("button", { type: "button", className: "link", id: "go-largest" }, `slice ${found.z + 1}`);
  go.addEventListener("click", () => workspace.goToTumour());
  return figure("Diameters", `${fixed(found.longest.mm, 0)} × ${fixed(found.perpendicular.mm, 0)}`, "mm",
    make("p", { className: "small" }, "Longest and at right angles, in the largest axial slice: ", go));
}

function dice(result, { dice: agreement }) {
  if (result.predicted_dice === null) return null;
  const value = result.predicted_dice;
  const bar = make("meter", { min: 0, max: 1, low: 0.6, high: 0.8, optimum: 1, value, ariaLabel: "Predicted Dice" });
  const changed = agreement !== null && agreement < 1 ? ` It belongs to the model's mask. Your mask and the model's have a Dice of ${fixed(agreement, 2)}.` : "";
  return figure("Predicted Dice", fixed(value, 2), "", bar,
    make("p", { className: "small" }, `Overlap with an expert's outline that the model expects, ${words(value)}; 1 is the same outline.${changed}`));
}

/** @param {number} value */
function words(value) {
  if (value >= 0.8) return "good";
  return value >= 0.6 ? "moderate" : "poor";
}

/** What a person changed, in words. @param {Workspace} workspace @param {Measures} measures */
export function changesText({ session }, { added, removed }) {
  if (!added && !removed) return "The mask is the model's.";
  const amount = (voxels) => (session.spacingMm
    ? `${inMl((voxels * session.spacingMm.reduce((a, b) => a * b)) / 1000)} ml` : `${fixed(voxels, 0)} voxels`);
  const share = session.modelVoxels;
  const part = share ? ` (${fixed(((added + removed) / share) * PERCENT, 0)} % of the model's mask)` : "";
  return `${amount(added)} added, ${amount(removed)} removed${part}.`;
}
