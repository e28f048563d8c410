/**
 * Measures of a mask: pure functions over typed arrays. Voxels lie x fastest, then y, then z.
 *
 * @typedef {[number, number, number]} Triple x, y and z
 * @typedef {{mm: number, from: [number, number], to: [number, number]}} Diameter ends in voxels x, y
 * @typedef {{longest: Diameter, perpendicular: Diameter, z: number}} Diameters
 */

/**
 * Voxels whose probability exceeds the threshold.
 * @param {Uint8Array} probability 0 to 255
 * @param {number} threshold 0 to 1
 * @param {Uint8Array} [out] receives 0 and 1
 */
export function thresholdMask(probability, threshold, out = new Uint8Array(probability.length)) {
  const limit = threshold * 255;
  for (let i = 0; i < out.length; i += 1) out[i] = probability[i] > limit ? 1 : 0;
  return out;
}

/**
 * Remove connected components (26 neighbours) of fewer than `smallest` voxels from a mask, in place.
 * @param {Uint8Array} mask
 * @param {Triple} shape
 * @param {number} smallest
 */
export function removeSmall(mask, shape, smallest) {
  if (smallest < 2) return mask;
  const seen = new Uint8Array(mask.length);
  for (let seed = 0; seed < mask.length; seed += 1) {
    if (!mask[seed] || seen[seed]) continue;
    const found = component(mask, shape, seed, seen);
    if (found.length < smallest) for (const i of found) mask[i] = 0;
  }
  return mask;
}

/** Voxels that touch a seed, also by corners; they are marked in `seen`. @returns {number[]} */
function component(mask, [nx, ny, nz], seed, seen) {
  const found = [seed];
  seen[seed] = 1;
  for (let next = 0; next < found.length; next += 1) {
    const x = found[next] % nx;
    const y = Math.floor(found[next] / nx) % ny;
    const z = Math.floor(found[next] / (nx * ny));
    for (let k = Math.max(0, z - 1); k <= Math.min(nz - 1, z + 1); k += 1) {
      for (let j = Math.max(0, y - 1); j <= Math.min(ny - 1, y + 1); j += 1) {
        for (let i = Math.max(0, x - 1); i <= Math.min(nx - 1, x + 1); i += 1) {
          const at = i + nx * (j + ny * k);
          if (!mask[at] || seen[at]) continue;
          seen[at] = 1;
          found.push(at);
        }
      }
    }
  }
  return found;
}

/** Number of tumour voxels. @param {Uint8Array} mask */
export function countVoxels(mask) {
  let count = 0;
  for (let i = 0; i < mask.length; i += 1) count += mask[i];
  return count;
}

/** Volume in ml, or null if the spacing is unknown. @param {number} voxels @param {Triple | null} spacingMm */
export function volumeMl(voxels, spacingMm) {
  return spacingMm ? (voxels * spacingMm[0] * spacingMm[1] * spacingMm[2]) / 1000 : null;
}

/**
 * Values above 0 in each axial slice.
 * @param {Uint8Array} mask
 * @param {Triple} shape
 */
export function sliceAreas(mask, [nx, ny, nz]) {
  const areas = new Uint32Array(nz);
  for (let z = 0, i = 0; z < nz; z += 1) {
    for (const end = i + nx * ny; i < end; i += 1) if (mask[i]) areas[z] += 1;
  }
  return areas;
}

/** The axial slice with the largest area, or -1 for an empty mask. @param {Uint8Array} mask @param {Triple} shape */
export function largestSlice(mask, shape) {
  const areas = sliceAreas(mask, shape);
  let best = -1;
  for (let z = 0; z < areas.length; z += 1) if (areas[z] && (best < 0 || areas[z] > areas[best])) best = z;
  return best;
}

/**
 * Voxels between two probabilities in each axial slice.
 * @param {Uint8Array} probability 0 to 255
 * @param {Triple} shape
 * @param {[number, number]} range 0 to 1
 */
export function voxelsBetween(probability, shape, [low, high]) {
  const between = new Uint8Array(probability.length);
  for (let i = 0; i < between.length; i += 1) between[i] = probability[i] > low * 255 && probability[i] <= high * 255 ? 1 : 0;
  return [...sliceAreas(between, shape)];
}

/**
 * The slices with the largest numbers, the largest first. Of slices that lie close together, only the first is taken.
 * @param {number[]} numbers one of each slice; slices with 0 are left out
 * @param {number} apart smallest difference of two slices, 1 or more
 * @param {number} most
 * @returns {{z: number, voxels: number}[]}
 */
export function topSlices(numbers, apart, most = 3) {
  const ranked = numbers.map((voxels, z) => ({ z, voxels })).filter(({ voxels }) => voxels > 0).sort((a, b) => b.voxels - a.voxels);
  /** @type {{z: number, voxels: number}[]} */
  const chosen = [];
  for (const one of ranked) if (chosen.length < most && chosen.every(({ z }) => Math.abs(z - one.z) >= apart)) chosen.push(one);
  return chosen;
}

/**
 * Longest diameter of the largest component (8 neighbours) in the largest axial slice, and the longest one at right
 * angles to it, in lines one pixel wide. Both are between centres of pixels, plus the mean side of a pixel. The same as
 * in `measure_diameters` of gliomaseg/prediction/mask_statistics.py.
 * @param {Uint8Array} mask
 * @param {Triple} shape
 * @param {Triple} spacingMm
 * @returns {Diameters | null} null for an empty mask
 */
export function measureDiameters(mask, shape, spacingMm) {
  const z = largestSlice(mask, shape);
  if (z < 0) return null;
  const [nx, ny] = shape;
  const plane = mask.subarray(z * nx * ny, (z + 1) * nx * ny);
  const points = border(largestComponent(plane, nx, ny), nx, ny);
  const mm = points.map(([x, y]) => /** @type {[number, number]} */ ([x * spacingMm[0], y * spacingMm[1]]));
  const pixelMm = (spacingMm[0] + spacingMm[1]) / 2;
  const all = farthest(mm).map((ends) => crossed(mm, ends, pixelMm));
  const { first, second, length, along, across } = all.reduce((a, b) => (b.across.high - b.across.low > a.across.high - a.across.low + 1e-9 ? b : a));
  const toVoxel = ([x, y]) => /** @type {[number, number]} */ ([x / spacingMm[0], y / spacingMm[1]]);
  const longest = { mm: length + pixelMm, from: toVoxel(first), to: toVoxel(second) };
  if (length === 0) return { longest, perpendicular: { ...longest }, z };
  const middle = [(first[0] + second[0]) / 2, (first[1] + second[1]) / 2];
  const place = (offset) =>
    toVoxel([
      middle[0] + along[0] * across.along - along[1] * offset,
      middle[1] + along[1] * across.along + along[0] * offset,
    ]);
  const perpendicular = {
    mm: across.high - across.low + pixelMm, from: place(across.low), to: place(across.high),
  };
  return { longest, perpendicular, z };
}

/** A longest diameter, and the line at right angles with the most distant points, from the middle, in mm. */
function crossed(points, [first, second], pixelMm) {
  const length = Math.hypot(second[0] - first[0], second[1] - first[1]);
  const along = length ? [(second[0] - first[0]) / length, (second[1] - first[1]) / length] : [1, 0];
  /** @type {Map<number, {along: number, low: number, high: number}>} */
  const lines = new Map();
  for (const point of points) {
    const [x, y] = [point[0] - (first[0] + second[0]) / 2, point[1] - (first[1] + second[1]) / 2];
    const place = (x * along[0] + y * along[1]) / pixelMm;
    const line = Math.sign(place) * Math.floor(Math.abs(place) + 0.5 - 1e-6); // halves to the middle: the same if mirrored
    const offset = y * along[0] - x * along[1];
    const found = lines.get(line) ?? { along: line * pixelMm, low: Infinity, high: -Infinity };
    lines.set(line, { ...found, low: Math.min(found.low, offset), high: Math.max(found.high, offset) });
  }
  const across = [...lines.values()].reduce((a, b) => (b.high - b.low > a.high - a.low ? b : a));
  return { first, second, length, along, across };
}

/** @returns {Uint8Array} the largest component of a slice */
function largestComponent(plane, nx, ny) {
  const seen = new Uint8Array(plane.length);
  /** @type {number[]} */
  let best = [];
  for (let seed = 0; seed < plane.length; seed += 1) {
    if (!plane[seed] || seen[seed]) continue;
    const found = component(plane, [nx, ny, 1], seed, seen);
    if (found.length > best.length) best = found;
  }
  const largest = new Uint8Array(plane.length);
  for (const i of best) largest[i] = 1;
  return largest;
}

/** Pixels of a slice with a neighbour outside of the mask. */
function border(plane, nx, ny) {
  const points = [];
  for (let y = 0, i = 0; y < ny; y += 1) {
    for (let x = 0; x < nx; x += 1, i += 1) {
      if (!plane[i]) continue;
      const inner = x > 0 && y > 0 && x < nx - 1 && y < ny - 1 && plane[i - 1] && plane[i + 1] && plane[i - nx] && plane[i + nx];
      if (!inner) points.push([x, y]);
    }
  }
  return points;
}

/** The pairs of points that are farthest from each other. They are corners of the convex hull. */
function farthest(points) {
  const corners = hull(points);
  let best = [[corners[0], corners[0]]];
  let distance = 0;
  for (let i = 0; i < corners.length; i += 1) {
    for (let j = i + 1; j < corners.length; j += 1) {
      const d = Math.hypot(corners[i][0] - corners[j][0], corners[i][1] - corners[j][1]);
      if (d > distance + 1e-6) best = [];
      if (d > distance - 1e-6) best.push([corners[i], corners[j]]);
      distance = Math.max(d, distance);
    }
  }
  return best;
}

/** Convex hull by the monotone chain of Andrew (1979). */
function hull(points) {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  if (sorted.length < 3) return sorted;
  const turn = (o, a, b) => (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]);
  const half = (list) => {
    const chain = [];
    for (const point of list) {
      while (chain.length > 1 && turn(chain[chain.length - 2], chain[chain.length - 1], point) <= 0) chain.pop();
      chain.push(point);
    }
    chain.pop();
    return chain;
  };
  return [...half(sorted), ...half(sorted.reverse())];
}
