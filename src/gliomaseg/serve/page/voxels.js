/**
 * Passes over all voxels of a scan. They read four bytes at once and skip zeros, because most voxels are not tumour: a scan
 * of 512 x 512 x 300 voxels has 79 million of them. Masks are 0 and 1.
 */

/** Four voxels a word, without up to three at the end; a copy if the bytes do not lie at a word. @param {Uint8Array} bytes */
function wordsOf(bytes) {
  const aligned = bytes.byteOffset % 4 ? bytes.slice() : bytes;
  return new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length >> 2);
}

/** Ones in four bytes of 0 and 1. @param {number} word */
function onesIn(word) {
  return Math.imul(word, 0x01010101) >>> 24;
}

/** @param {Uint8Array} mask @returns {number} voxels */
export function countOnes(mask) {
  const words = wordsOf(mask);
  let count = 0;
  for (let i = 0; i < words.length; i += 1) if (words[i]) count += onesIn(words[i]);
  for (let i = words.length * 4; i < mask.length; i += 1) count += mask[i];
  return count;
}

/** @param {Uint8Array} first @param {Uint8Array} second of the same length */
export function areEqual(first, second) {
  const [left, right] = [wordsOf(first), wordsOf(second)];
  for (let i = 0; i < left.length; i += 1) if (left[i] !== right[i]) return false;
  for (let i = left.length * 4; i < first.length; i += 1) if (first[i] !== second[i]) return false;
  return true;
}

/** Call with the index of each byte that is not 0. @param {Uint8Array} bytes @param {(index: number) => void} visit */
export function eachNonZero(bytes, visit) {
  const words = wordsOf(bytes);
  for (let i = 0; i < words.length; i += 1) {
    if (!words[i]) continue;
    for (let at = i * 4; at < i * 4 + 4; at += 1) if (bytes[at]) visit(at);
  }
  for (let at = words.length * 4; at < bytes.length; at += 1) if (bytes[at]) visit(at);
}

/** Call with the index of each voxel that differs. @param {Uint8Array} first @param {Uint8Array} second @param {(index: number) => void} visit */
export function eachDifference(first, second, visit) {
  const [left, right] = [wordsOf(first), wordsOf(second)];
  for (let i = 0; i < left.length; i += 1) {
    if (left[i] === right[i]) continue;
    for (let at = i * 4; at < i * 4 + 4; at += 1) if (first[at] !== second[at]) visit(at);
  }
  for (let at = left.length * 4; at < first.length; at += 1) if (first[at] !== second[at]) visit(at);
}

/** Voxels in both masks, in the first one alone and in the second one alone. @param {Uint8Array} first @param {Uint8Array} second */
export function overlap(first, second) {
  const [left, right] = [wordsOf(first), wordsOf(second)];
  let [both, onlyFirst, onlySecond] = [0, 0, 0];
  const add = (a, b) => {
    both += onesIn(a & b);
    onlyFirst += onesIn(a & ~b);
    onlySecond += onesIn(b & ~a);
  };
  for (let i = 0; i < left.length; i += 1) if (left[i] | right[i]) add(left[i], right[i]);
  for (let i = left.length * 4; i < first.length; i += 1) add(first[i], second[i]);
  return { both, onlyFirst, onlySecond };
}

/**
 * Voxels whose probability exceeds the threshold.
 * @param {Uint8Array} probability 0 to 255
 * @param {number} threshold 0 to 1
 * @param {Uint8Array} out receives 0 and 1
 */
export function maskAbove(probability, threshold, out) {
  const limit = threshold * 255;
  const words = wordsOf(probability);
  out.fill(0);
  for (let i = 0; i < words.length; i += 1) {
    if (!words[i]) continue;
    for (let at = i * 4; at < i * 4 + 4; at += 1) if (probability[at] > limit) out[at] = 1;
  }
  for (let at = words.length * 4; at < out.length; at += 1) if (probability[at] > limit) out[at] = 1;
  return out;
}

/** The largest axial slice, or -1 for an empty mask; the first and the last slice with a voxel. @param {Uint8Array} mask @param {[number, number, number]} shape */
export function slicesOf(mask, [nx, ny, nz]) {
  let [largest, most, first, last] = [-1, 0, nz, -1];
  for (let z = 0; z < nz; z += 1) {
    const count = countOnes(mask.subarray(z * nx * ny, (z + 1) * nx * ny));
    if (count > most) [largest, most] = [z, count];
    if (count) [first, last] = [Math.min(first, z), z];
  }
  return { largest, first, last };
}

/**
 * Limits of intensity that suit the display, and the range, from at most 200,000 voxels. The header's own limits may be those
 * of another image.
 * @param {{img: ArrayLike<number>, hdr: {scl_slope: number, scl_inter: number}}} image
 */
export function intensitiesOf({ img, hdr }) {
  const count = Math.min(img.length, 200_000);
  const values = Float32Array.from({ length: count }, (_, i) => img[Math.floor((i * img.length) / count)]);
  const sorted = values.filter(Number.isFinite).sort();
  const at = (share) => sorted[Math.floor(share * (sorted.length - 1))] * hdr.scl_slope + hdr.scl_inter;
  const [low, high, least, most] = [at(0.005), at(0.995), at(0), at(1)];
  return high > low ? { low, high, least, most } : { low: least, high: Math.max(most, least + 1), least, most: Math.max(most, least + 1) };
}

/** @param {ArrayBufferView} data */
export function asBytes(data) {
  return data instanceof Uint8Array ? data : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
