/**
 * One opened case: probability, threshold, corrections and the mask that follows from them.
 *
 * @typedef {import("./api.js").Result} Result
 * @typedef {[number, number, number]} Triple
 */

import { ADDED, BY_HAND, EDIT, History, REMOVED, STROKE, STROKE_TUMOUR, combine } from "./drawing.js";
import { countVoxels, measureDiameters, removeSmall, thresholdMask, volumeMl } from "./measure.js";

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

  #maskAt(threshold) {
    if (Math.abs(threshold - this.result.threshold) < 1e-6) return this.model.slice();
    const mask = thresholdMask(this.probability, threshold);
    return removeSmall(mask, this.shape, this.result.smallest_component_voxels ?? 0);
  }

  /** @param {number} threshold 0 to 1 */
  setThreshold(threshold) {
    this.threshold = threshold;
    this.base = this.#maskAt(threshold);
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
    for (let i = 0; i < mask.length; i += 1) {
      if (this.layer[i] & BY_HAND) continue;
      if (mask[i] !== this.mask[i] && this.history.set(i, mask[i] ? ADDED : REMOVED, EDIT)) this.#refresh(i);
    }
  }

  /**
   * Show another mask that the server has. It is one change of the history, so that undo brings the own mask back.
   * @param {Uint8Array} mask
   * @param {Result} result of the server
   */
  takeOver(mask, result) {
    this.hasOwnBelow = this.isChanged;
    for (let i = 0; i < mask.length; i += 1) {
      if (mask[i] !== this.mask[i] && this.history.set(i, mask[i] ? ADDED : REMOVED, EDIT)) this.#refresh(i);
    }
    this.history.commit();
    this.result = { ...this.result, ...result };
    this.saved = mask;
  }

  /** Strokes as the server takes them: 0 none, 1 tumour, 2 not tumour. */
  get strokes() {
    return Uint8Array.from(this.layer, (bits) => (bits & STROKE ? (bits & STROKE_TUMOUR ? 1 : 2) : 0));
  }

  /** Remove all corrections and strokes; one change of the history. */
  clear() {
    this.layer.forEach((bits, index) => {
      if (bits && this.history.set(index, 0, EDIT | STROKE | BY_HAND)) this.#refresh(index);
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
    return this.mask.some((value, index) => value !== this.saved[index]);
  }

  /** Whether leaving would lose something: a mask that differs from the saved one, or strokes that could be redone. */
  get isUnsaved() {
    return (this.hasUndone && this.history.canRedo) || this.hasOwnBelow || this.isChanged;
  }

  get isModels() {
    return this.mask.every((value, index) => value === this.model[index]);
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
    const voxels = countVoxels(this.mask);
    const lines = measureDiameters(this.mask, this.shape, this.brushSpacing);
    const [low, high] = [...this.interval].reverse().map((base) => this.#corrected(base));
    return {
      voxels,
      ml: volumeMl(voxels, this.spacingMm),
      intervalMl: this.spacingMm ? [volumeMl(low, this.spacingMm), volumeMl(high, this.spacingMm)] : null,
      lines,
      diameters: this.spacingMm ? lines : null,
      ...this.#changes(),
    };
  }

  #corrected(base) {
    let count = 0;
    for (let i = 0; i < base.length; i += 1) {
      const edit = this.layer[i] & EDIT;
      count += edit ? edit & ADDED : base[i];
    }
    return count;
  }

  #changes() {
    let [added, removed, both, model] = [0, 0, 0, 0];
    for (let i = 0; i < this.mask.length; i += 1) {
      model += this.model[i];
      if (this.mask[i] && this.model[i]) both += 1;
      else if (this.mask[i]) added += 1;
      else if (this.model[i]) removed += 1;
    }
    const total = model * 2 - removed + added;
    return { added, removed, dice: total ? (2 * both) / total : null };
  }
}

/** Corrections that turn one mask into another. @param {Uint8Array} model @param {Uint8Array} mask */
function differences(model, mask) {
  return Uint8Array.from(mask, (value, index) => (value === model[index] ? 0 : value ? ADDED : REMOVED));
}
