/**
 * Drawing on a layer of one byte for each voxel: pure functions, and a history of sparse changes.
 *
 * Two bits of a voxel say whether it was added or removed (EDIT), one whether a person painted it (BY_HAND), and two bits
 * hold a stroke for the server (STROKE). The layer lies on top of the model's mask, so that a correction outlives a change
 * of the threshold.
 *
 * @typedef {[number, number, number]} Triple x, y and z
 * @typedef {{indices: Uint32Array, before: Uint8Array, after: Uint8Array}} Change
 */

import { countOnes, eachNonZero } from "./voxels.js";

export const EDIT = 3;
export const ADDED = 1;
export const REMOVED = 2;
export const BY_HAND = 16;
export const STROKE = 12;
export const STROKE_TUMOUR = 4;
export const STROKE_OTHER = 8;

/** Voxels of the mask under a layer. @param {Uint8Array} base @param {Uint8Array} layer @param {Uint8Array} out */
export function combine(base, layer, out) {
  out.set(base);
  eachNonZero(layer, (i) => {
    const edit = layer[i] & EDIT;
    if (edit) out[i] = edit & ADDED;
  });
  return out;
}

/** Voxels of a mask under a layer of corrections. @param {Uint8Array} base @param {Uint8Array} layer */
export function countCorrected(base, layer) {
  let count = countOnes(base);
  eachNonZero(layer, (i) => {
    const edit = layer[i] & EDIT;
    if (edit) count += (edit & ADDED) - base[i];
  });
  return count;
}

/**
 * Indices of the voxels whose centres lie within a ball around a voxel, or within a disc of one plane.
 * @param {Triple} centre voxel
 * @param {number} radiusMm
 * @param {Triple} shape
 * @param {Triple} spacingMm
 * @param {number | null} fixed the axis that a disc leaves alone (0 x, 1 y, 2 z), null for a ball
 * @returns {number[]} the centre is always one of them
 */
export function ball(centre, radiusMm, shape, spacingMm, fixed) {
  const [low, high] = [0, 1].map((side) =>
    centre.map((at, axis) => {
      const reach = axis === fixed ? 0 : Math.floor(radiusMm / spacingMm[axis] + 1e-6);
      return side ? Math.min(shape[axis] - 1, at + reach) : Math.max(0, at - reach);
    }),
  );
  const limit = radiusMm * radiusMm + 1e-6;
  const found = [];
  for (let z = low[2]; z <= high[2]; z += 1) {
    for (let y = low[1]; y <= high[1]; y += 1) {
      for (let x = low[0]; x <= high[0]; x += 1) {
        const square = [x, y, z].reduce((sum, at, axis) => sum + ((at - centre[axis]) * spacingMm[axis]) ** 2, 0);
        if (square <= limit) found.push(x + shape[0] * (y + shape[1] * z));
      }
    }
  }
  return found;
}

/** Voxels from one voxel to another, both included, without gaps. @param {Triple} from @param {Triple} to */
export function line(from, to) {
  const steps = Math.max(...from.map((at, axis) => Math.abs(to[axis] - at)));
  if (steps === 0) return [from];
  return Array.from({ length: steps + 1 }, (_, step) =>
    /** @type {Triple} */ (from.map((at, axis) => Math.round(at + ((to[axis] - at) * step) / steps))),
  );
}

/**
 * The voxels that are connected to a seed (faces) and have its value in a mask.
 * @param {Uint8Array} mask
 * @param {Triple} shape
 * @param {Triple} seed
 * @param {number | null} fixed the axis of the plane to stay in, null for all directions
 * @returns {{indices: number[], open: boolean}} open: the region touches the edge of the image within the plane
 */
export function region(mask, shape, seed, fixed) {
  const stride = [1, shape[0], shape[0] * shape[1]];
  const start = seed[0] + seed[1] * stride[1] + seed[2] * stride[2];
  const seen = new Uint8Array(mask.length);
  const indices = [start];
  seen[start] = 1;
  let open = false;
  for (let next = 0; next < indices.length; next += 1) {
    const at = indices[next];
    for (let axis = 0; axis < 3; axis += 1) {
      if (axis === fixed) continue;
      const place = Math.floor(at / stride[axis]) % shape[axis];
      open ||= place === 0 || place === shape[axis] - 1;
      for (const i of [place > 0 ? at - stride[axis] : at, place < shape[axis] - 1 ? at + stride[axis] : at]) {
        if (!seen[i] && mask[i] === mask[start]) {
          seen[i] = 1;
          indices.push(i);
        }
      }
    }
  }
  return { indices, open };
}

/** Changes of one layer that can be undone and redone, within a limit of memory. */
export class History {
  /** @param {Uint8Array} layer @param {number} limitBytes oldest changes beyond it are forgotten */
  constructor(layer, limitBytes = 64 * 2 ** 20) {
    this.layer = layer;
    this.limitBytes = limitBytes;
    /** @type {Change[]} */
    this.done = [];
    /** @type {Change[]} */
    this.undone = [];
    /** @type {Map<number, number>} */
    this.open = new Map();
    this.bytes = 0;
  }

  /** Set the bits of `part` in a voxel; they belong to the change that `commit` closes. */
  set(index, value, part) {
    const before = this.layer[index];
    const after = (before & ~part) | value;
    if (before === after) return false;
    if (!this.open.has(index)) this.open.set(index, before);
    this.layer[index] = after;
    return true;
  }

  /** Close the change. It returns false if nothing was changed. */
  commit() {
    const kept = [...this.open].filter(([index, before]) => this.layer[index] !== before);
    this.open.clear();
    if (!kept.length) return false;
    const indices = Uint32Array.from(kept, ([index]) => index);
    const before = Uint8Array.from(kept, ([, value]) => value);
    this.done.push({ indices, before, after: Uint8Array.from(indices, (index) => this.layer[index]) });
    for (const change of this.undone.splice(0)) this.bytes -= size(change);
    this.bytes += size(this.done[this.done.length - 1]);
    while (this.bytes > this.limitBytes && this.done.length > 1) this.bytes -= size(this.done.shift());
    return true;
  }

  get canUndo() {
    return this.done.length > 0;
  }

  get canRedo() {
    return this.undone.length > 0;
  }

  /** Take the last change back. @returns {Uint32Array | null} the voxels that it had changed */
  undo() {
    return this.#move(this.done, this.undone, "before");
  }

  /** Make the last change that was taken back again. @returns {Uint32Array | null} its voxels */
  redo() {
    return this.#move(this.undone, this.done, "after");
  }

  #move(from, to, side) {
    const change = from.pop();
    if (!change) return null;
    to.push(change);
    change.indices.forEach((index, i) => {
      this.layer[index] = change[side][i];
    });
    return change.indices;
  }
}

/** @param {Change} change */
function size(change) {
  return change.indices.length * 6;
}
