/**
 * Lines on top of the slices: outlines, strokes, diameters, crosshair, letters and the brush.
 *
 * @typedef {import("./viewer.js").Tile} Tile
 * @typedef {{mask: Uint8Array, model: Uint8Array | null, reference: Uint8Array | null, layer: Uint8Array, shape: [number, number, number],
 *   voxel: [number, number, number], showMask: boolean, crosshair: boolean, letters: boolean,
 *   diameters: import("./measure.js").Diameters | null,
 *   brush: {x: number, y: number, radiusMm: number} | null, spacingMm: [number, number, number]}} Scene
 */

import { STROKE, STROKE_TUMOUR } from "./drawing.js";

export const MASK_COLOUR = /** @type {[number, number, number]} */ ([255, 166, 26]);
const OUTLINE = "rgb(255, 176, 46)";
const REFERENCE = "rgb(86, 180, 233)"; // with the orange, a pair that the colour-blind tell apart
const DIAMETERS = "rgb(120,220,255)";
// The low and the high end of the voxel axes right, anterior, superior.
const SIDES = [["L", "R"], ["P", "A"], ["I", "S"]];

/** @param {HTMLCanvasElement} canvas @param {Tile[]} tiles @param {Scene} scene */
export function drawOverlay(canvas, tiles, scene) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.scale(ratio, ratio);
  for (const tile of tiles) {
    if (tile.fixed < 0) continue;
    context.save();
    context.beginPath();
    context.rect(tile.left, tile.top, tile.width, tile.height);
    context.clip();
    drawTile(context, tile, scene);
    context.restore();
    if (scene.letters) drawLetters(context, tile);
  }
  if (scene.brush) drawBrush(context, tiles, scene);
}

/** @param {CanvasRenderingContext2D} context @param {Tile} tile @param {Scene} scene */
function drawTile(context, tile, scene) {
  const slice = scene.voxel[tile.fixed];
  paintStrokes(context, tile, scene, slice);
  // The reference is the wider line below, so that both are visible where they agree.
  if (scene.reference) {
    const path = outline(tile, scene.reference, scene.shape, slice);
    stroke(context, path, 4.25, "rgba(0,0,0,.45)");
    stroke(context, path, 3, REFERENCE);
  }
  if (scene.showMask) {
    if (scene.model) stroke(context, outline(tile, scene.model, scene.shape, slice), 1, "rgba(255,255,255,.75)");
    const path = outline(tile, scene.mask, scene.shape, slice);
    if (!scene.reference) stroke(context, path, 3.5, "rgba(0,0,0,.5)");
    stroke(context, path, 1.75, OUTLINE);
  }
  if (scene.crosshair) drawCrosshair(context, tile, scene.voxel);
  if (scene.diameters && scene.showMask && tile.fixed === 2 && slice === scene.diameters.z) drawDiameters(context, tile, scene.diameters, scene.reference ? "rgb(255,255,255)" : DIAMETERS);
}

/** @param {CanvasRenderingContext2D} context @param {Path2D} path @param {number} width @param {string} colour */
function stroke(context, path, width, colour) {
  context.lineWidth = width;
  context.lineCap = "round";
  context.strokeStyle = colour;
  context.stroke(path);
}

/** First voxel and strides of a slice. */
function strides(tile, shape, slice) {
  const stride = [1, shape[0], shape[0] * shape[1]];
  return { start: slice * stride[tile.fixed], du: stride[tile.u], dv: stride[tile.v], nu: shape[tile.u], nv: shape[tile.v] };
}

/** Edges between tumour and the rest of a slice, along the sides of voxels. @returns {Path2D} */
function outline(tile, mask, shape, slice) {
  const { start, du, dv, nu, nv } = strides(tile, shape, slice);
  const path = new Path2D();
  const edge = (a, b, c, d) => {
    path.moveTo(...tile.toCanvas(a, b));
    path.lineTo(...tile.toCanvas(c, d));
  };
  for (let v = 0; v < nv; v += 1) {
    for (let u = 0, i = start + v * dv; u < nu; u += 1, i += du) {
      if (!mask[i]) continue;
      if (u === 0 || !mask[i - du]) edge(u - 0.5, v - 0.5, u - 0.5, v + 0.5);
      if (u === nu - 1 || !mask[i + du]) edge(u + 0.5, v - 0.5, u + 0.5, v + 0.5);
      if (v === 0 || !mask[i - dv]) edge(u - 0.5, v - 0.5, u + 0.5, v - 0.5);
      if (v === nv - 1 || !mask[i + dv]) edge(u - 0.5, v + 0.5, u + 0.5, v + 0.5);
    }
  }
  return path;
}

function paintStrokes(context, tile, { layer, shape }, slice) {
  const { start, du, dv, nu, nv } = strides(tile, shape, slice);
  for (let v = 0; v < nv; v += 1) {
    for (let u = 0, i = start + v * dv; u < nu; u += 1, i += du) {
      if (!(layer[i] & STROKE)) continue;
      const [x0, y0] = tile.toCanvas(u - 0.5, v - 0.5);
      const [x1, y1] = tile.toCanvas(u + 0.5, v + 0.5);
      context.fillStyle = layer[i] & STROKE_TUMOUR ? "rgba(61,220,151,.9)" : "rgba(240,98,180,.9)";
      context.fillRect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0) + 0.4, Math.abs(y1 - y0) + 0.4);
    }
  }
}

function drawCrosshair(context, tile, voxel) {
  const [x, y] = tile.toCanvas(voxel[tile.u], voxel[tile.v]);
  const path = new Path2D();
  const gap = 9;
  for (const [a, b, c, d] of [
    [tile.left, y, x - gap, y], [x + gap, y, tile.left + tile.width, y],
    [x, tile.top, x, y - gap], [x, y + gap, x, tile.top + tile.height],
  ]) {
    path.moveTo(a, b);
    path.lineTo(c, d);
  }
  stroke(context, path, 1, "rgba(255,255,255,.38)");
}

function drawDiameters(context, tile, { longest, perpendicular }, colour) {
  for (const { from, to } of [longest, perpendicular]) {
    const path = new Path2D();
    const [start, end] = [tile.toCanvas(...from), tile.toCanvas(...to)];
    path.moveTo(...start);
    path.lineTo(...end);
    stroke(context, path, 4, "rgba(0,0,0,.45)");
    stroke(context, path, 1.5, colour);
    for (const [x, y] of [start, end]) {
      context.fillStyle = colour;
      context.beginPath();
      context.arc(x, y, 2.5, 0, 7);
      context.fill();
    }
  }
}

/** Sides of the patient, on the edges of the slice. */
function drawLetters(context, tile) {
  const [here, there] = [tile.toVoxel(0, 0), tile.toVoxel(1, 1)];
  const [left, right] = there[0] > here[0] ? SIDES[tile.u] : [...SIDES[tile.u]].reverse();
  const [above, below] = there[1] > here[1] ? SIDES[tile.v] : [...SIDES[tile.v]].reverse();
  context.font = "600 13px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  const [x, y] = [tile.left + tile.width / 2, tile.top + tile.height / 2];
  for (const [text, atX, atY] of [
    [left, tile.left + 12, y], [right, tile.left + tile.width - 12, y],
    [above, x, tile.top + 13], [below, x, tile.top + tile.height - 12],
  ]) {
    context.strokeStyle = "rgba(0,0,0,.8)";
    context.lineWidth = 3;
    context.strokeText(text, atX, atY);
    context.fillStyle = "rgba(235,238,242,.92)";
    context.fillText(text, atX, atY);
  }
}

/** The ring of the brush around the pointer. */
function drawBrush(context, tiles, { brush, spacingMm }) {
  const tile = tiles.find((one) => one.fixed >= 0 && contains(one, brush.x, brush.y));
  if (!tile) return;
  const [x0, y0] = tile.toCanvas(0, 0);
  const [x1, y1] = tile.toCanvas(brush.radiusMm / spacingMm[tile.u], brush.radiusMm / spacingMm[tile.v]);
  context.beginPath();
  context.ellipse(brush.x, brush.y, Math.max(2, Math.abs(x1 - x0)), Math.max(2, Math.abs(y1 - y0)), 0, 0, 7);
  context.lineWidth = 3;
  context.strokeStyle = "rgba(0,0,0,.6)";
  context.stroke();
  context.lineWidth = 1.25;
  context.strokeStyle = "#fff";
  context.stroke();
}

/** @param {Tile} tile @param {number} x @param {number} y */
export function contains(tile, x, y) {
  return x >= tile.left && x < tile.left + tile.width && y >= tile.top && y < tile.top + tile.height;
}
