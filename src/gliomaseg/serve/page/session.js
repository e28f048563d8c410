/**
 * One opened case: probability, threshold, corrections and the mask that follows from them.
 *
 * @typedef {import("./api.js").Result} Result
 * @typedef {[number, number, number]} Triple
 */

import { ADDED, BY_HAND, EDIT, History, REMOVED, STROKE, STROKE_TUMOUR, combine, countCorrected } from "./drawing.js";
import { measureDiameters, removeSmall, volumeMl } from "./measure.js";
import { areEqual, countOnes, eachDifference, eachNonZero, maskAbove, overlap, slicesOf } from "./voxels.js";

/** Volumes at these two thresholds are the interval. */
export const INTERVAL = /** @type {[number, number]} */ ([0.3, 0.7]);

export class Session {
  /**
   * @param {string} id of the job
   * @param {Result} result
   * @param {{probability: Uint8Array, model: Uint8Array, mask: Uint8Array}} voxels x fastest
   */
  constructor(id, result, { probability, model, mask }) {
    this.id = id;
    this.result = result;
    this.probability = probability;
    this.model = model;
    this.modelVoxels = countOnes(model);
    this.shape = /** @type {Triple} */ (result.shape_xyz);
    this.spacingMm = result.spacing_mm;
    this.threshold = result.threshold;
    this.base = model.slice();
    this.mask = mask.slice();
    this.saved = mask.slice();
    this.layer = differences(model, mask);
    this.history = new History(this.layer);
    this.hasUndone = false; // since the mask was saved
    this.hasOwnBelow = false; // the person's own mask, which is not stored, lies below another one in the history
    this.isExpired = false; // on the server, and cannot be opened again there
    /** @type {import("./reference.js").Reference | null} */
    this.reference = null;
    this.interval = INTERVAL.map((threshold) => this.#maskAt(threshold));
  }

  /** Spacing for brushes; pixels count as 1 mm if it is unknown. @returns {Triple} */
  get brushSpacing() {
    return this.spacingMm ?? [1, 1, 1];
  }

  #maskAt(threshold, out = new Uint8Array(this.model.length)) {
    if (Math.abs(threshold - this.result.threshold) < 1e-6) {
      out.set(this.model);
      return out;
    }
    maskAbove(this.probability, threshold, out);
    const [nx, ny] = this.shape;
    const { first, last } = slicesOf(out, this.shape);
    if (last >= 0) removeSmall(out.subarray(first * nx * ny, (last + 1) * nx * ny), [nx, ny, last + 1 - first], this.result.smallest_component_voxels ?? 0);
    return out;
  }

  /** @param {number} threshold 0 to 1 */
  setThreshold(threshold) {
    this.threshold = threshold;
    this.#maskAt(threshold, this.base);
    combine(this.base, this.layer, this.mask);
  }

  get isAtModelThreshold() {
    return Math.abs(this.threshold - this.result.threshold) < 1e-6;
  }

  /** Mark voxels as tumour or not. @param {Iterable<number>} indices @param {boolean} tumour */
  edit(indices, tumour) {
    const bits = BY_HAND | (tumour ? ADDED : REMOVED);
    for (const index of indices) if (this.history.set(index, bits, EDIT | BY_HAND)) this.#refresh(index);
  }

  /** Mark voxels for the graph cut. @param {Iterable<number>} indices @param {number} value of STROKE */
  stroke(indices, value) {
    for (const index of indices) this.history.set(index, value, STROKE | BY_HAND);
  }

  /**
   * Take over a mask that the server computed; only voxels that differ become corrections. Voxels that a person painted
   * stay as they are, unless a later stroke goes through them.
   * @param {Uint8Array} mask
   */
  adopt(mask) {
    eachDifference(mask, this.mask, (i) => {
      if (!(this.layer[i] & BY_HAND) && this.history.set(i, mask[i] ? ADDED : REMOVED, EDIT)) this.#refresh(i);
    });
  }

  /**
   * Show another mask that the server has. It is one change of the history, so that undo brings the own mask back.
   * @param {Uint8Array} mask
   * @param {Result} result of the server
   */
  takeOver(mask, result) {
    this.hasOwnBelow = this.isChanged;
    eachDifference(mask, this.mask, (i) => {
      if (this.history.set(i, mask[i] ? ADDED : REMOVED, EDIT)) this.#refresh(i);
    });
    this.history.commit();
    this.result = { ...this.result, ...result };
    this.saved = mask;
  }

  /** Strokes as the server takes them: 0 none, 1 tumour, 2 not tumour. */
  get strokes() {
    const values = new Uint8Array(this.layer.length);
    eachNonZero(this.layer, (i) => {
      if (this.layer[i] & STROKE) values[i] = this.layer[i] & STROKE_TUMOUR ? 1 : 2;
    });
    return values;
  }

  /** Remove all corrections and strokes; one change of the history. */
  clear() {
    eachNonZero(this.layer, (index) => {
      if (this.history.set(index, 0, EDIT | STROKE | BY_HAND)) this.#refresh(index);
    });
    this.history.commit();
  }

  undo() {
    this.hasUndone ||= this.history.canUndo;
    return this.#step(this.history.undo());
  }

  redo() {
    return this.#step(this.history.redo());
  }

  #step(indices) {
    indices?.forEach((index) => this.#refresh(index));
    return indices !== null;
  }

  #refresh(index) {
    const edit = this.layer[index] & EDIT;
    this.mask[index] = edit ? edit & ADDED : this.base[index];
  }

  get isChanged() {
    return !areEqual(this.mask, this.saved);
  }

  /** Whether leaving would lose something: a mask that differs from the saved one, or strokes that could be redone. */
  get isUnsaved() {
    return (this.hasUndone && this.history.canRedo) || this.hasOwnBelow || this.isChanged;
  }

  get isModels() {
    return areEqual(this.mask, this.model);
  }

  /** The server has the mask now. @param {Result} result @param {Uint8Array} mask that was sent */
  markSaved(result, mask) {
    this.result = { ...this.result, ...result };
    this.saved = mask;
    this.hasUndone = false;
    this.hasOwnBelow = false;
  }

  /** The server has opened the scan again, with this mask. @param {string} sha256 @param {Uint8Array} mask */
  markKept(sha256, mask) {
    this.result = { ...this.result, mask_sha256: sha256 };
    this.saved = mask;
  }

  /** Values of the mask as it is drawn. */
  measure() {
    const voxels = countOnes(this.mask);
    const lines = this.#diameters();
    const [low, high] = [...this.interval].reverse().map((base) => countCorrected(base, this.layer));
    return {
      voxels,
      ml: volumeMl(voxels, this.spacingMm),
      intervalMl: this.spacingMm ? [volumeMl(low, this.spacingMm), volumeMl(high, this.spacingMm)] : null,
      lines,
      diameters: this.spacingMm ? lines : null,
      ...this.#changes(),
    };
  }

  #diameters() {
    const [nx, ny] = this.shape;
    const { largest: z } = slicesOf(this.mask, this.shape);
    const lines = z < 0 ? null : measureDiameters(this.mask.subarray(z * nx * ny, (z + 1) * nx * ny), [nx, ny, 1], this.brushSpacing);
    return lines && { ...lines, z };
  }

  #changes() {
    const { both, onlyFirst: added, onlySecond: removed } = overlap(this.mask, this.model);
    const total = 2 * both + added + removed;
    return { added, removed, dice: total ? (2 * both) / total : null };
  }
}

/** Corrections that turn one mask into another. @param {Uint8Array} model @param {Uint8Array} mask */
function differences(model, mask) {
  const layer = new Uint8Array(mask.length);
  eachDifference(mask, model, (i) => {
    layer[i] = mask[i] ? ADDED : REMOVED;
  });
  return layer;
}
