/**
 * The tools that change the mask.
 *
 * @typedef {import("./session.js").Session} Session
 * @typedef {[number, number, number]} Triple
 * @typedef {{name: string, label: string, key: string, icon: string, hint: string, size?: "brush" | "stroke",
 *   reach?: boolean}} Tool
 */

import { sendStrokes } from "./api.js";
import { STROKE_OTHER, STROKE_TUMOUR, ball, line, region } from "./drawing.js";
import { toast } from "./dom.js";

/** @type {Tool[]} */
export const TOOLS = [
  { name: "look", label: "Look", key: "V", icon: "look", hint: "" },
  { name: "window", label: "Window", key: "W", icon: "window", hint: "Drag sideways for the window, up and down for the level." },
  { name: "brush", label: "Brush", key: "B", icon: "brush", hint: "Drag to add to the mask.", size: "brush", reach: true },
  { name: "eraser", label: "Eraser", key: "E", icon: "eraser", hint: "Drag to take away from the mask.", size: "brush", reach: true },
  { name: "fill", label: "Fill", key: "F", icon: "fill", hint: "Click a hole to fill it, or a part of the mask to remove it.", reach: true },
  { name: "tumour", label: "Tumour", key: "S", icon: "plus", hint: "Draw a line through tumour that is missing; the mask is computed again.", size: "stroke" },
  { name: "other", label: "Not tumour", key: "D", icon: "minus", hint: "Draw a line through what is not tumour; the mask is computed again.", size: "stroke" },
];

export class Painter {
  /**
   * @param {(kind: "move" | "end") => void} onChange
   * @param {(busy: boolean) => void} onBusy
   * @param {(session: Session) => Promise<void>} onLost the server has lost the scan; resolves when it has it again
   */
  constructor(onChange, onBusy, onLost) {
    this.onChange = onChange;
    this.onBusy = onBusy;
    this.onLost = onLost;
    this.tool = TOOLS[0];
    this.sizesMm = { brush: 8, stroke: 3 };
    this.inBall = false;
    this.isBusy = false;
    /** @type {Triple | null} */
    this.last = null;
  }

  get sizeMm() {
    return this.tool.size ? this.sizesMm[this.tool.size] : 0;
  }

  get paints() {
    return Boolean(this.tool.size || this.tool.reach);
  }

  /**
   * @param {Session} session
   * @param {Triple} voxel
   * @param {number} fixed the axis through the plane that is drawn on
   * @param {"start" | "move" | "end"} phase
   */
  paint(session, voxel, fixed, phase) {
    if (this.isBusy) return;
    if (this.tool.name === "fill") {
      if (phase === "start") this.#fill(session, voxel, fixed);
      return;
    }
    if (phase === "start") this.last = voxel;
    if (!this.last) return;
    if (phase !== "end") {
      for (const at of line(this.last, voxel)) this.#stamp(session, at, fixed);
      this.last = voxel;
      this.onChange("move");
      return;
    }
    this.last = null;
    if (this.tool.size === "stroke") this.#send(session);
    else {
      session.history.commit();
      this.onChange("end");
    }
  }

  #stamp(session, at, fixed) {
    const isStroke = this.tool.size === "stroke";
    if (at.some((one, axis) => one < 0 || one >= session.shape[axis])) return;
    const plane = this.inBall && !isStroke ? null : fixed;
    const indices = ball(at, this.sizeMm / 2, session.shape, session.brushSpacing, plane);
    if (isStroke) session.stroke(indices, this.tool.name === "tumour" ? STROKE_TUMOUR : STROKE_OTHER);
    else session.edit(indices, this.tool.name === "brush");
  }

  #fill(session, voxel, fixed) {
    if (voxel.some((one, axis) => one < 0 || one >= session.shape[axis])) return;
    const { indices, open } = region(session.mask, session.shape, voxel, this.inBall ? null : fixed);
    const isTumour = session.mask[indices[0]] === 1;
    if (!isTumour && open) {
      toast("This place is not enclosed by the mask; close the outline with the brush first.", true);
      return;
    }
    session.edit(indices, !isTumour);
    session.history.commit();
    this.onChange("end");
  }

  async #send(session) {
    this.#setBusy(true);
    try {
      const mask = await this.#compute(session);
      if (mask.length === session.mask.length) session.adopt(mask);
      else toast("The server returned a mask of another size.", true);
    } catch (fault) {
      toast(fault.message, true);
    } finally {
      session.history.commit();
      this.#setBusy(false);
      this.onChange("end");
    }
  }

  async #compute(session) {
    try {
      return await sendStrokes(session.id, session.strokes, session.mask);
    } catch (fault) {
      if (fault.status !== 404) throw fault;
    }
    await this.onLost(session);
    this.onBusy(true);
    return sendStrokes(session.id, session.strokes, session.mask);
  }

  #setBusy(busy) {
    this.isBusy = busy;
    this.onBusy(busy);
  }
}
