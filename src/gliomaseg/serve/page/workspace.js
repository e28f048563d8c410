/**
 * The picture of an opened case with its tools: it joins viewer, overlay, session and painter.
 *
 * @typedef {import("./api.js").Job} Job
 * @typedef {import("./viewer.js").View} View
 */

import { readFile } from "./api.js";
import { byId, eachFrame, fixed } from "./dom.js";
import { drawOverlay } from "./overlay.js";
import { Painter, TOOLS } from "./painter.js";
import { connectPointer } from "./pointer.js";
import { Session } from "./session.js";
import { createViewer } from "./viewer.js";

export class Workspace {
  /** @param {{onMask: () => void, onLost: (session: Session) => Promise<void>, onTool: () => void, onDisplay: () => void, onMove: () => void}} events */
  constructor(events) {
    this.events = events;
    /** @type {import("./viewer.js").Viewer | null} */
    this.viewer = null;
    /** @type {Promise<void> | undefined} scans that are opened at once have one viewer */
    this.starting = undefined;
    /** @type {Session | null} */
    this.session = null;
    this.overlay = byId("overlay");
    this.display = { mask: "outline", opacity: 0.4, heat: false, crosshair: true, reference: true, low: 0, high: 1 };
    /** @type {ReturnType<Session["measure"]> | null} */
    this.measures = null;
    this.hover = null;
    this.plane = 2;
    this.painter = new Painter(
      (kind) => this.changed(kind === "end"),
      (busy) => this.wait(busy ? "Computing the mask from the strokes …" : ""),
      (session) => events.onLost(session),
    );
    this.redraw = eachFrame(() => this.#redraw());
    this.showMask = eachFrame(() => this.#showMask());
    this.showWindow = eachFrame(() => this.applyDisplay());
  }

  /**
   * Show the scan and the mask of a finished job.
   * @param {Job} job
   * @param {AbortSignal} signal aborted when the scan is left: then nothing is shown, and an AbortError is thrown
   */
  async open(job, signal) {
    const result = /** @type {import("./api.js").Result} */ (job.result);
    this.session = null;
    this.wait("Loading the scan …");
    const files = ["flair.nii.gz", "probability.nii.gz", "mask.u8?version=model", ...(result.corrected ? ["mask.u8"] : [])];
    const [flair, probability, model, mask = model] = await Promise.all(files.map((file) => readFile(job.id, file, signal)));
    this.starting ??= this.#start().catch((fault) => {
      this.starting = undefined;
      throw fault;
    });
    await this.starting;
    signal.throwIfAborted();
    const viewer = /** @type {import("./viewer.js").Viewer} */ (this.viewer);
    const loaded = await viewer.load(flair, probability, { planesOnly: !result.orientation_known, signal });
    const voxels = { probability: loaded.probability, model: new Uint8Array(model), mask: new Uint8Array(mask) };
    if (voxels.model.length !== loaded.probability.length) throw new Error("The mask and the scan have different sizes; reload the page.");
    this.session = new Session(job.id, result, voxels);
    const { low, high } = viewer.intensities;
    Object.assign(this.display, { low, high });
    this.setView(viewer.planesOnly ? "axial" : viewer.view);
    this.wait("");
    this.changed(true);
    this.goToTumour();
    this.applyDisplay();
  }

  async #start() {
    this.viewer = await createViewer(byId("scene"));
    this.viewer.onDraw = () => this.redraw();
    connectPointer(this.overlay, this.viewer, {
      gesture: (event) => this.#gesture(event),
      moveTo: (voxel) => this.moveTo(voxel),
      window: (dx, dy) => this.#dragWindow(dx, dy),
      hover: (place) => {
        this.hover = place;
        this.redraw();
      },
      paint: (voxel, plane, phase) => {
        this.plane = plane;
        if (phase === "start") this.moveTo(voxel);
        if (this.session) this.painter.paint(this.session, voxel, plane, phase);
      },
    });
  }

  #gesture(event) {
    if (event.button === 2 || this.painter.tool.name === "window") return "window";
    if (event.button === 1 || event.shiftKey) return "pan";
    return this.painter.paints ? "paint" : "look";
  }

  #dragWindow(dx, dy) {
    const { least, most } = this.viewer.intensities;
    const step = (most - least) / 600;
    const { low, high } = this.display;
    const width = Math.max(step, high - low + dx * step);
    this.setWindow(width, (low + high) / 2 - dy * step);
  }

  /** @param {number} width @param {number} level intensities */
  setWindow(width, level) {
    Object.assign(this.display, { low: level - width / 2, high: level + width / 2 });
    this.showWindow();
  }

  resetWindow() {
    const { low, high } = this.viewer.intensities;
    this.setWindow(high - low, (high + low) / 2);
  }

  /** Bring the picture in line with `display`. */
  applyDisplay() {
    if (!this.session) return;
    this.viewer.setWindow(this.display.low, this.display.high);
    this.viewer.setHeat(this.display.heat);
    this.showMask();
    this.events.onDisplay();
  }

  /** @param {View} view */
  setView(view) {
    this.viewer?.setView(view);
    this.plane = { coronal: 1, sagittal: 0 }[view] ?? 2;
    this.events.onDisplay();
  }

  /** @param {string} name */
  setTool(name) {
    this.painter.tool = TOOLS.find((tool) => tool.name === name) ?? TOOLS[0];
    this.events.onTool();
    this.redraw();
  }

  /** The mask has changed. @param {boolean} finished a change of the history is complete, so values are measured */
  changed(finished) {
    this.showMask();
    if (finished) this.events.onMask();
  }

  /** @param {number} threshold 0 to 1 */
  setThreshold(threshold) {
    this.session?.setThreshold(threshold);
    this.changed(true);
  }

  undo() {
    if (!this.painter.isBusy && this.session?.undo()) this.changed(true);
  }

  redo() {
    if (!this.painter.isBusy && this.session?.redo()) this.changed(true);
  }

  /** @param {[number, number, number]} voxel */
  moveTo(voxel) {
    if (this.viewer && this.session) this.viewer.voxel = voxel;
  }

  /** @param {number} z axial slice */
  goToSlice(z) {
    const [x, y] = this.viewer.voxel;
    this.moveTo([x, y, z]);
  }

  /** Place the crosshair in the middle of the longest diameter, or leave it in the middle of the scan. */
  goToTumour() {
    const found = this.measures?.lines;
    const shape = this.session.shape;
    if (!found) return this.moveTo(/** @type {any} */ (shape.map((count) => Math.floor(count / 2))));
    const { from, to } = found.longest;
    return this.moveTo([(from[0] + to[0]) / 2, (from[1] + to[1]) / 2, found.z]);
  }

  /** Move the crosshair on the screen. @param {number} right @param {number} down @param {number} deep in voxels */
  step(right, down, deep) {
    const tile = this.viewer?.tiles().find((one) => one.fixed === this.plane) ?? this.viewer?.tiles()[0];
    if (!tile || !this.session) return;
    if (tile.fixed < 0) {
      this.viewer.turn(right * -6, down * 6);
      return;
    }
    const voxel = this.viewer.voxel;
    const [here, there] = [tile.toVoxel(0, 0), tile.toVoxel(1, 1)];
    voxel[tile.u] += right * Math.sign(there[0] - here[0]);
    voxel[tile.v] += down * Math.sign(there[1] - here[1]);
    voxel[tile.fixed] += deep;
    this.moveTo(voxel);
  }

  /** Use the tool at the crosshair, for people without a mouse. */
  paintHere() {
    if (!this.session || !this.painter.paints) return;
    const voxel = this.viewer.voxel;
    for (const phase of /** @type {const} */ (["start", "end"])) this.painter.paint(this.session, voxel, this.plane, phase);
  }

  #showMask() {
    if (!this.session) return;
    const { mask, opacity } = this.display;
    this.viewer.setMask(this.session.mask, mask === "fill" ? opacity : 0, mask === "hidden" ? 0 : 1);
  }

  #redraw() {
    if (!this.session) return;
    const { session, viewer, painter, display } = this;
    drawOverlay(this.overlay, viewer.tiles(), {
      mask: session.mask, layer: session.layer, shape: session.shape, voxel: viewer.voxel,
      model: session.history.canUndo || session.result.corrected ? session.model : null,
      reference: (display.reference && session.reference?.voxels) || null,
      showMask: display.mask !== "hidden", crosshair: display.crosshair, letters: !viewer.planesOnly,
      diameters: this.measures?.diameters ?? null, spacingMm: session.brushSpacing,
      brush: painter.tool.size && this.hover?.voxel ? { ...this.hover, radiusMm: painter.sizeMm / 2 } : null,
    });
    this.#readOut();
    this.events.onMove();
  }

  #readOut() {
    const { session, viewer } = this;
    const voxel = viewer.voxel;
    const index = voxel[0] + session.shape[0] * (voxel[1] + session.shape[1] * voxel[2]);
    const place = session.spacingMm && !viewer.planesOnly
      ? `${viewer.toMm(voxel).map((mm) => fixed(mm, 1)).join(", ")} mm`
      : `voxel ${voxel.join(", ")}`;
    const intensity = viewer.intensity(voxel);
    const digits = Number.isInteger(intensity) ? 0 : 2;
    byId("readout").textContent = `${place} · intensity ${fixed(intensity, digits)} · probability ${fixed(session.probability[index] / 255, 2)}`;
    const slice = byId("slice");
    slice.max = String(session.shape[2] - 1);
    slice.value = String(voxel[2]);
    byId("slice-out").textContent = `${voxel[2] + 1} of ${session.shape[2]}`;
  }

  /** Say on the picture what is waited for. @param {string} text empty: nothing */
  wait(text) {
    const note = byId("stage-wait");
    note.hidden = !text;
    note.textContent = text;
  }
}
