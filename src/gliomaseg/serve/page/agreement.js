/**
 * How two masks agree, as `gliomaseg evaluate` counts it.
 *
 * @typedef {{z: number, dice: number, reference: number, mask: number, wrong: number}} SliceAgreement
 *   `z` from 0; voxels of the reference, of the mask, and of only one of them
 */

/**
 * @param {Uint8Array} mask
 * @param {Uint8Array} reference
 * @param {[number, number, number]} shape x, y, z
 * @returns {{dice: number | null, slices: SliceAgreement[]}} dice: null if both are empty; slices: those with a voxel
 *   in either
 */
export function compareMasks(mask, reference, shape) {
  const area = shape[0] * shape[1];
  const slices = [];
  let [shared, total] = [0, 0];
  for (let z = 0; z < shape[2]; z += 1) {
    let [both, ours, theirs] = [0, 0, 0];
    for (let i = z * area; i < (z + 1) * area; i += 1) {
      ours += mask[i];
      theirs += reference[i];
      both += mask[i] & reference[i];
    }
    if (ours + theirs) slices.push({ z, dice: (2 * both) / (ours + theirs), reference: theirs, mask: ours, wrong: ours + theirs - 2 * both });
    shared += both;
    total += ours + theirs;
  }
  return { dice: total ? (2 * shared) / total : null, slices };
}

/**
 * The slices with the most voxels in only one of the masks, without those whose Dice is shown as 1.00. The lowest Dice
 * is that of slices with a few voxels of tumour, which matter least.
 * @param {SliceAgreement[]} slices
 * @param {number} most
 */
export function worstSlices(slices, most) {
  return slices.filter((one) => one.dice < 0.995).sort((a, b) => b.wrong - a.wrong || a.dice - b.dice).slice(0, most);
}
