/**
 * Mouse, pen and touch on the picture.
 *
 * @typedef {import("./viewer.js").Tile} Tile
 * @typedef {[number, number, number]} Triple
 * @typedef {{
 *   gesture: (event: PointerEvent) => "look" | "window" | "paint" | "pan",
 *   moveTo: (voxel: Triple) => void, window: (dx: number, dy: number) => void, hover: (place: Place | null) => void,
 *   paint: (voxel: Triple, fixed: number, phase: "start" | "move" | "end") => void}} Actions
 * @typedef {{x: number, y: number, voxel: Triple | null}} Place
 */

import { contains } from "./overlay.js";

/**
 * @param {HTMLElement} surface
 * @param {import("./viewer.js").Viewer} viewer
 * @param {Actions} actions
 */
export function connectPointer(surface, viewer, actions) {
  /** @type {{kind: string, tile: Tile, x: number, y: number} | null} */
  let drag = null;
  /** @type {Map<number, {x: number, y: number}>} */
  const fingers = new Map();

  const place = (event) => {
    const box = surface.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const tileAt = ({ x, y }) => viewer.tiles().find((tile) => contains(tile, x, y));

  surface.addEventListener("pointerdown", (event) => {
    const at = place(event);
    fingers.set(event.pointerId, at);
    const tile = tileAt(at);
    if (!tile || fingers.size > 1) {
      if (drag?.kind === "paint") actions.paint(voxelAt(viewer, drag.tile, drag), drag.tile.fixed, "end");
      drag = null;
      return;
    }
    event.preventDefault();
    surface.focus({ preventScroll: true });
    surface.setPointerCapture(event.pointerId);
    const kind = tile.fixed < 0 ? "turn" : actions.gesture(event);
    drag = { kind, tile, ...at };
    if (kind === "look") actions.moveTo(voxelAt(viewer, tile, at));
    if (kind === "paint") actions.paint(voxelAt(viewer, tile, at), tile.fixed, "start");
  });

  surface.addEventListener("pointermove", (event) => {
    const at = place(event);
    if (fingers.size === 2 && fingers.has(event.pointerId)) return pinch(event.pointerId, at);
    const tile = drag?.tile ?? tileAt(at);
    actions.hover(tile ? { ...at, voxel: tile.fixed < 0 ? null : voxelAt(viewer, tile, at) } : null);
    if (!drag) return undefined;
    const [dx, dy] = [at.x - drag.x, at.y - drag.y];
    if (drag.kind === "look") actions.moveTo(voxelAt(viewer, drag.tile, at));
    if (drag.kind === "paint") actions.paint(voxelAt(viewer, drag.tile, at), drag.tile.fixed, "move");
    if (drag.kind === "window") actions.window(dx, dy);
    if (drag.kind === "pan") viewer.pan(drag.tile, dx, dy);
    if (drag.kind === "turn") viewer.turn(-dx * 0.5, dy * 0.5);
    drag = { ...drag, ...at };
    return undefined;
  });

  const pinch = (id, at) => {
    const [other] = [...fingers].filter(([one]) => one !== id).map(([, where]) => where);
    const before = fingers.get(id);
    fingers.set(id, at);
    const [from, to] = [before, at].map((where) => Math.hypot(where.x - other.x, where.y - other.y));
    if (from > 10) viewer.zoom(to / from, tileAt(other));
  };

  const end = (event) => {
    fingers.delete(event.pointerId);
    if (drag?.kind === "paint") actions.paint(voxelAt(viewer, drag.tile, drag), drag.tile.fixed, "end");
    drag = null;
  };
  surface.addEventListener("pointerup", end);
  surface.addEventListener("pointercancel", end);
  surface.addEventListener("pointerleave", () => actions.hover(null));
  surface.addEventListener("contextmenu", (event) => event.preventDefault());
  connectWheel(surface, viewer, (event) => tileAt(place(event)), actions);
}

function connectWheel(surface, viewer, tileOf, actions) {
  let rest = 0;
  surface.addEventListener("wheel", (event) => {
    const tile = tileOf(event);
    if (!tile) return;
    event.preventDefault();
    if (event.ctrlKey || tile.fixed < 0) {
      viewer.zoom(Math.exp(-event.deltaY * 0.002), tile);
      return;
    }
    // A mouse sends about 100 a notch, a touch pad many small values.
    rest += event.deltaMode === 1 ? event.deltaY * 33 : event.deltaY;
    const steps = Math.trunc(rest / 60);
    if (!steps) return;
    rest -= steps * 60;
    const voxel = viewer.voxel;
    voxel[tile.fixed] -= Math.sign(steps);
    actions.moveTo(voxel);
  }, { passive: false });
}

/** The voxel of a tile at a place of the canvas. @returns {Triple} */
function voxelAt(viewer, tile, { x, y }) {
  const voxel = viewer.voxel;
  const [u, v] = tile.toVoxel(x, y);
  voxel[tile.u] = Math.round(u);
  voxel[tile.v] = Math.round(v);
  return voxel;
}
