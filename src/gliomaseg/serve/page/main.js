/** The page: it joins opening, progress, picture, results and the list of scans. */

import { readJob } from "./api.js";
import { settle } from "./conflict.js";
import { connectControls, setDisplay, setMaskStyle, setReach, setSize, showDisplay, showHistory, showTool } from "./controls.js";
import { announce, byId, eachFrame, fixed, inMl, toast } from "./dom.js";
import { Flow, showState } from "./flow.js";
import { JobList } from "./jobs.js";
import { connectKeys, fillDialog } from "./keys.js";
import { connectOpen } from "./open.js";
import { OpenAll } from "./openall.js";
import { TOOLS } from "./painter.js";
import { buildPanel, showNumbers } from "./panel.js";
import { ReferencePanel } from "./reference.js";
import { Contact, Uploads, isThere, reopen } from "./reopen.js";
import { buildTakeAway, saveNow, showCorrection } from "./takeaway.js";
import { WorkList } from "./worklist.js";
import { Workspace } from "./workspace.js";

let opening = new AbortController();
const measure = eachFrame(() => showMeasures());
const [contact, uploads] = [new Contact(), new Uploads()];
const workspace = new Workspace({
  onMask: () => {
    measure();
    noticeLoss();
  },
  onLost: (session) => recover(session, worklist.current),
  onTool: () => showTool(workspace),
  onDisplay: () => showDisplay(workspace),
  onMove: () => reference.showSlice(),
});
const reference = new ReferencePanel(workspace, save);
const jobs = new JobList({ open: (job) => openJob(job), deleted: (ids) => forget(ids), isUnsaved, beforeDelete: () => worklist.refresh() });
const flow = new Flow(uploads, { done: (job) => showResult(job), changed: () => jobs.refresh(), cancelled: () => openNothing(), choices: (job) => openAll.offer(job) });
const openAll = new OpenAll(uploads, { open: (job) => openJob(job), changed: () => jobs.refresh() });
const worklist = new WorkList({ open: (job) => openJob(job), home: () => openNothing(), leave, save: () => saveIfChanged(), settle: settleCase, stored });
jobs.isElsewhere = (id) => worklist.has(id);
const keys = keyTable();

connectControls(workspace);
connectOpen((form, name) => mayLeave() && start(form, name), (message) => mayLeave() && refuse(message));
connectKeys(keys, () => document.body.dataset.state === "result" && workspace.session !== null);
byId("open-more").addEventListener("click", () => mayLeave() && openNothing("empty"));
byId("error-again").addEventListener("click", () => openNothing());
window.addEventListener("beforeunload", (event) => isUnsaved() && event.preventDefault());
resume();

function isUnsaved() {
  return workspace.session?.isUnsaved ?? false;
}

function mayLeave() {
  if (!isUnsaved()) return true;
  const { isChanged, hasOwnBelow } = workspace.session;
  if (isChanged) return window.confirm("The correction is not saved. Leave it?");
  return window.confirm(`${hasOwnBelow ? "Your own mask is not stored; undo brings it back" : "Strokes that were undone can be redone"} until you leave. Leave?`);
}

function leave() {
  if (!mayLeave()) return false;
  close();
  return true;
}

/** @param {FormData} form @param {string} name */
function start(form, name) {
  close();
  flow.send(form, name);
}

/** @param {string} message */
function refuse(message) {
  close();
  flow.fail(new Error(message));
}

function close() {
  opening.abort();
  workspace.session = null;
  worklist.closed();
  flow.leave();
  jobs.mark(null);
  history.replaceState(null, "", location.pathname);
}

/** @param {string} [state] empty or list */
function openNothing(state = worklist.exists ? "list" : "empty") {
  close();
  showState(state);
  jobs.refresh();
  worklist.refresh();
  if (state === "list") worklist.focus();
  else byId("choose-files").focus();
}

/** @returns {Promise<string>} SHA-256 of the mask that is shown; empty if the server does not have it */
async function saveIfChanged() {
  const { session, painter } = workspace;
  if (painter.isBusy) return "";
  const isSaved = (!session.isChanged && (await isThere(session.id))) || (await save());
  return isSaved ? session.result.mask_sha256 : "";
}

function save() {
  const { current } = worklist;
  return saveNow(workspace, {
    saved, reopen: (session) => recover(session, current), settle: (session) => settle(workspace, session, current),
  });
}

/** @param {import("./workcases.js").WorkCase} one another person has stored @returns {Promise<boolean>} whether to go on */
async function settleCase(one) {
  if (worklist.current !== one) throw new Error(`${one.case} was stored by another person meanwhile; open it again.`);
  return settle(workspace, workspace.session, one);
}

/** The mask that is shown is stored as it is. */
function stored() {
  if (workspace.session) workspace.session.hasOwnBelow = false;
}

/** A correction of a scan that the server has lost is not found out only when it is saved. */
async function noticeLoss() {
  const { session } = workspace;
  if (!(await contact.isLost(session)) || session !== workspace.session) return;
  await recover(session, worklist.current).catch((fault) => toast(fault.message, true));
}

/** @type {Map<import("./session.js").Session, Promise<void>>} */
const recovering = new Map();

/**
 * The server has lost the job of a session: give the session a new one.
 * @param {import("./session.js").Session} session
 * @param {import("./workcases.js").WorkCase | null} one its case; an upload has none
 * @returns {Promise<void>}
 */
function recover(session, one) {
  if (!recovering.has(session)) recovering.set(session, openAgain(session, one).finally(() => recovering.delete(session)));
  return /** @type {Promise<void>} */ (recovering.get(session));
}

async function openAgain(session, one) {
  workspace.wait("The server has lost this scan and opens it again. Your corrections stay …");
  try {
    await reopen(session, one, uploads);
  } finally {
    workspace.wait("");
    measure();
  }
  toast("The server had lost this scan and has opened it again. Your corrections are kept.");
  await worklist.refresh();
  if (workspace.session !== session) return;
  jobs.mark(session.id);
  jobs.refresh();
  history.replaceState(null, "", `#${session.id}`);
}

/** @param {string[]} ids of jobs that were deleted */
function forget(ids) {
  uploads.forget(ids);
  if (ids.some((id) => id === jobs.current || id === flow.id)) openNothing();
}

/** Resolves when the scan is shown, or left. @param {import("./api.js").Job} job */
async function openJob(job) {
  if (job.id === jobs.current && document.body.dataset.state === "result") return;
  if (!mayLeave()) return;
  close();
  if (job.state === "done") await showResult(job);
  else await flow.follow(job);
}

/** @param {import("./api.js").Job} job */
async function showResult(job) {
  opening.abort();
  opening = new AbortController();
  const { signal } = opening;
  showState("result");
  jobs.mark(job.id);
  history.replaceState(null, "", `#${job.id}`);
  byId("panel").replaceChildren();
  try {
    job = await readJob(job.id);
    signal.throwIfAborted();
    await workspace.open(job, signal);
  } catch (fault) {
    if (signal.aborted) return;
    close();
    flow.fail(fault);
    return;
  }
  buildPanel(workspace, [reference.build(job), ...buildTakeAway(workspace, save, worklist.has(job.id))]);
  showMeasures();
  workspace.goToTumour();
  workspace.setTool("look");
  worklist.opened(job.id);
  byId("overlay").focus({ preventScroll: true });
  announce(`Done: ${summary()}`);
}

function showMeasures() {
  if (!workspace.session || !byId("numbers")) return;
  const measures = workspace.session.measure();
  workspace.measures = measures;
  showNumbers(workspace, measures);
  showCorrection(workspace, measures);
  showHistory(workspace);
  reference.show();
  byId("summary").textContent = summary();
  workspace.redraw();
}

function summary() {
  const { ml, voxels, diameters } = workspace.measures;
  if (!voxels) return "No tumour found";
  const dice = workspace.session.result.predicted_dice;
  const lengths = diameters && `${fixed(diameters.longest.mm, 0)} × ${fixed(diameters.perpendicular.mm, 0)} mm`;
  const parts = [ml === null ? `${fixed(voxels, 0)} voxels` : `${inMl(ml)} ml`, lengths, dice === null ? null : `predicted Dice ${fixed(dice, 2)}`];
  return parts.filter(Boolean).join(" · ");
}

function saved() {
  jobs.version += 1;
  showMeasures();
  reference.refresh();
  jobs.refresh();
}

/** Open the scan of the address, or show the list. */
async function resume() {
  await worklist.begin().catch((fault) => toast(fault.message, true));
  if (worklist.exists) {
    keys.splice(keys.findIndex((key) => key.keys[0] === "n"), 1, ...workKeys());
    fillDialog(keys);
  }
  await jobs.refresh();
  if (document.body.dataset.state !== "empty") return; // a scan was opened meanwhile
  const job = jobs.jobs.find((one) => one.id === location.hash.slice(1));
  if (job) openJob(job);
  else if (worklist.exists) openNothing();
}

/** @returns {import("./keys.js").Key[]} */
function workKeys() {
  return [
    { group: "Work list", keys: ["a"], text: "Save and next", use: () => worklist.storeAndNext() },
    { group: "Work list", keys: ["n"], text: "Skip", use: () => (worklist.current ? worklist.skip() : jobs.openNext()) },
  ];
}

/** @returns {import("./keys.js").Key[]} */
function keyTable() {
  const { display, painter } = workspace;
  const key = (group, keys, text, use) => ({ group, keys, text, use });
  const held = (...entry) => ({ ...key(...entry), repeats: true });
  const step = (name, right, down, deep, text) => ({ ...held("Look", [name], text, () => workspace.step(right, down, deep)), onPicture: true });
  const shift = (by) => () => workspace.setThreshold(Math.max(0.01, Math.min(0.99, Math.round((workspace.session.threshold + by) * 100) / 100)));
  return [
    step("ArrowLeft", -1, 0, 0, "Move the crosshair"), step("ArrowRight", 1, 0, 0, "Move the crosshair"),
    step("ArrowUp", 0, -1, 0, "Move the crosshair"), step("ArrowDown", 0, 1, 0, "Move the crosshair"),
    step("PageUp", 0, 0, 1, "Next or previous slice"), step("PageDown", 0, 0, -1, "Next or previous slice"),
    key("Look", ["l"], "Largest slice", () => workspace.goToTumour()),
    ...["all", "axial", "coronal", "sagittal", "render"].map((view, i) => key("Look", [String(i + 1)], "All, axial, coronal, sagittal, 3D", () => workspace.setView(/** @type {any} */ (view)))),
    key("Look", ["o"], "Outline or fill", () => setMaskStyle(workspace, display.mask === "outline" ? "fill" : "outline")),
    key("Look", ["m"], "Hide or show the mask", () => setMaskStyle(workspace, display.mask === "hidden" ? "outline" : "hidden")),
    key("Look", ["c"], "Hide or show the reference", () => reference.toggle(!display.reference)),
    key("Look", ["h"], "Probability", () => setDisplay(workspace, "heat", !display.heat)),
    key("Look", ["x"], "Crosshair", () => setDisplay(workspace, "crosshair", !display.crosshair)),
    key("Look", ["r"], "Reset window and level", () => workspace.resetWindow()),
    held("Correct", ["["], "Lower or raise the threshold", shift(-0.01)), held("Correct", ["]"], "Lower or raise the threshold", shift(0.01)),
    ...TOOLS.map((tool) => key("Correct", [tool.key.toLowerCase()], tool.label, () => workspace.setTool(tool.name))),
    held("Correct", ["-"], "Smaller or larger tool", () => setSize(workspace, painter.sizeMm - 1)),
    held("Correct", ["+", "="], "Smaller or larger tool", () => setSize(workspace, painter.sizeMm + 1)),
    key("Correct", ["g"], "Slice or ball", () => setReach(workspace, !painter.inBall)),
    { ...key("Correct", [" ", "Enter"], "Use the tool at the crosshair", () => workspace.paintHere()), onPicture: true },
    key("Correct", ["Escape"], "Back to looking", () => workspace.setTool("look")),
    key("Correct", ["z"], "Undo", () => workspace.undo()), key("Correct", ["y"], "Redo", () => workspace.redo()),
    key("Correct", ["k"], "Save", save),
    key("Scans", ["n"], "Next case, lowest predicted Dice first", () => jobs.openNext()),
  ];
}
