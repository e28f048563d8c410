/**
 * The only file that calls NiiVue. It loads a scan, draws slices and the 3D view, and converts places.
 *
 * NiiVue draws; mouse, touch and keys are ours, as are outlines, letters and the crosshair (see overlay.js).
 *
 * @typedef {[number, number, number]} Triple x, y and z
 * @typedef {"all" | "axial" | "coronal" | "sagittal" | "render"} View
 * @typedef {{axis: number, fixed: number, u: number, v: number, left: number, top: number, width: number,
 *   height: number, toCanvas: (u: number, v: number) => [number, number],
 *   toVoxel: (x: number, y: number) => [number, number]}} Tile
 *   lengths are CSS pixels; `fixed` is the axis through the plane (0 x, 1 y, 2 z), -1 for 3D; u and v lie in it
 */

import { MASK_COLOUR } from "./overlay.js";
import { asBytes, intensitiesOf } from "./voxels.js";

const RENDER = 4;
const SLICE_TYPES = { axial: 0, coronal: 1, sagittal: 2, render: RENDER };
const FIXED = [2, 1, 0];
// Below 0.1 nothing is painted. NiiVue makes every other alpha of a layer 1, and mixes by the opacity of the layer.
const HEAT = {
  R: [0, 0, 65, 126, 204, 248, 240], G: [0, 0, 4, 3, 71, 149, 249], B: [0, 0, 157, 168, 120, 64, 33],
  A: [0, 0, 255, 255, 255, 255, 255], I: [0, 25, 26, 64, 128, 192, 255], min: 0, max: 255,
};

const [RED, GREEN, BLUE] = MASK_COLOUR;
const TUMOUR = { R: [0, RED], G: [0, GREEN], B: [0, BLUE], A: [0, 255], I: [0, 1], labels: ["", "tumour"] };

/** @param {HTMLCanvasElement} canvas @returns {Promise<Viewer>} */
export async function createViewer(canvas) {
  const library = await import("./vendor/niivue-0.69.0.min.js");
  const nv = new library.Niivue({
    interactive: false, dragAndDropEnabled: false, logLevel: "error", isRadiologicalConvention: true,
    isOrientationTextVisible: false, crosshairWidth: 0, show3Dcrosshair: false, backColor: [0.035, 0.04, 0.047, 1],
    isColorbar: false, isSliceMM: false, loadingText: "", thumbnail: "", multiplanarPadPixels: 0,
  });
  nv.addColormap("probability", HEAT);
  nv.drawLut = library.cmapper.makeDrawLut(TUMOUR);
  nv.customLayout = [{ sliceType: SLICE_TYPES.axial, position: [0, 0, 1, 1] }];
  await nv.attachToCanvas(canvas, false);
  keepMaskIn3D(nv);
  skipGradients(nv);
  return new Viewer(library, nv, canvas);
}

/** NiiVue has one opacity of the mask for slices and 3D; an outline in the slices would hide it in 3D. */
function keepMaskIn3D(nv) {
  const draw3D = nv.draw3D.bind(nv);
  nv.draw3D = (...places) => {
    const inSlices = nv.drawOpacity;
    nv.drawOpacity = nv.opacityIn3D ?? 1;
    const text = draw3D(...places);
    nv.drawOpacity = inSlices;
    return text;
  };
}

/**
 * NiiVue blurs a volume and differentiates it whenever its window changes, for the light on its 3D view. Our 3D view
 * has no such light, and without a graphics card this takes seconds: a program that paints nothing replaces it.
 */
function skipGradients(nv) {
  const { gl } = nv;
  const program = gl.createProgram();
  const sources = { VERTEX_SHADER: "gl_Position = vec4(2, 2, 2, 1);", FRAGMENT_SHADER: "color = vec4(0);" };
  for (const [kind, line] of Object.entries(sources)) {
    const shader = gl.createShader(gl[kind]);
    const output = kind === "FRAGMENT_SHADER" ? "precision lowp float;\nout vec4 color;\n" : "";
    gl.shaderSource(shader, `#version 300 es\n${output}void main() { ${line} }`);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  const nothing = { program, uniforms: {}, use: () => gl.useProgram(program) };
  nv.blurShader = nothing;
  nv.sobelFirstOrderShader = nothing;
}

export class Viewer {
  /** @param {any} library @param {any} nv @param {HTMLCanvasElement} canvas */
  constructor(library, nv, canvas) {
    this.library = library;
    this.nv = nv;
    this.canvas = canvas;
    /** @type {View} */
    this.view = "all";
    this.planesOnly = false;
    this.intensities = { low: 0, high: 1, least: 0, most: 1 };
    this.onDraw = () => {};
    this.isSlow = isSoftware(nv.gl);
    this.isStale = false; // the graphics card has an earlier mask
    new ResizeObserver(() => requestAnimationFrame(() => this.draw())).observe(canvas);
  }

  /**
   * Show a scan, unless another one was opened meanwhile.
   * @param {ArrayBuffer} flair a NIfTI file with the voxel axes R, A, S
   * @param {ArrayBuffer} probability the same grid, 0 to 255
   * @param {{planesOnly: boolean, signal: AbortSignal}} options planesOnly: axial slices only
   * @returns {Promise<{probability: Uint8Array}>}
   */
  async load(flair, probability, { planesOnly, signal }) {
    const { NVImage } = this.library;
    const image = await NVImage.loadFromUrl({ url: flair, name: "flair.nii.gz" });
    const heat = await NVImage.loadFromUrl({ url: probability, name: "probability.nii.gz", colormap: "probability", opacity: 0.7 });
    signal.throwIfAborted();
    this.nv.closeDrawing();
    Object.assign(this, { image, heat });
    Object.assign(this.heat, { cal_min: 0, cal_max: 255 });
    this.intensities = intensitiesOf(this.image);
    Object.assign(this.image, { cal_min: this.intensities.low, cal_max: this.intensities.high });
    this.#upload([this.image]);
    this.planesOnly = planesOnly;
    this.nv.setPan2Dxyzmm([0, 0, 0, 1]);
    this.nv.scene.volScaleMultiplier = 1;
    this.nv.createEmptyDrawing();
    return { probability: asBytes(this.heat.img) };
  }

  /** NiiVue sends volumes to the graphics card one by one; this sends them once. */
  #upload(volumes) {
    this.nv.volumes = volumes;
    [this.nv.back] = volumes;
    this.nv.overlays = volumes.slice(1);
    this.nv.updateGLVolume();
  }

  /** @param {number} low @param {number} high intensities that are black and white */
  setWindow(low, high) {
    const image = this.nv.volumes[0];
    if (image.cal_min === low && image.cal_max === high) return;
    image.cal_min = low;
    image.cal_max = high;
    this.nv.updateGLVolume();
    this.onDraw();
  }

  /** @param {boolean} on whether the probability is drawn */
  setHeat(on) {
    if (on === this.nv.volumes.length > 1) return;
    this.#upload(on ? [this.image, this.heat] : [this.image]);
    this.onDraw();
  }

  /**
   * @param {Uint8Array} mask 0 and 1; kept, not copied
   * @param {number} fill opacity in slices, 0 to 1
   * @param {number} solid opacity in 3D
   */
  setMask(mask, fill, solid) {
    this.nv.drawBitmap = mask;
    this.nv.drawOpacity = fill;
    this.nv.opacityIn3D = solid;
    this.isStale = true;
    this.draw();
  }

  /** @param {View} view */
  setView(view) {
    this.view = this.planesOnly ? "axial" : view;
    this.draw();
  }

  /** Draw the scene and whatever lies on it. */
  draw() {
    if (!this.nv.volumes.length || !this.canvas.clientWidth) return;
    this.nv.customLayout = this.#layout();
    this.#sendMask();
    this.nv.drawScene();
    this.onDraw();
  }

  /** All of the mask goes to the graphics card, so it goes only if it is drawn there: as fill or in 3D, not as outline. */
  #sendMask() {
    const is3D = this.nv.customLayout.some(({ sliceType }) => sliceType === RENDER);
    if (!this.isStale || !(is3D || this.nv.drawOpacity > 0)) return;
    this.nv.refreshDrawing(false);
    this.isStale = false;
  }

  #layout() {
    if (this.view !== "all") return [{ sliceType: SLICE_TYPES[this.view], position: [0, 0, 1, 1] }];
    const types = this.isSlow ? [0, 1, 2] : [0, 1, 2, RENDER];
    if (this.canvas.clientWidth < this.canvas.clientHeight * 1.1) {
      const places = [[0, 0, 1, 0.62], [0, 0.63, 0.5, 0.37], [0.5, 0.63, 0.5, 0.37]];
      return types.slice(0, 3).map((sliceType, i) => ({ sliceType, position: places[i] }));
    }
    const height = 1 / (types.length - 1);
    return types.map((sliceType, i) => ({
      sliceType, position: i === 0 ? [0, 0, 0.66, 1] : [0.66, (i - 1) * height, 0.34, height],
    }));
  }

  /** What is on the canvas. @returns {Tile[]} */
  tiles() {
    const ratio = this.canvas.width / this.canvas.clientWidth;
    return this.nv.screenSlices.map((slice, index) => this.#tile(slice, index, ratio));
  }

  #tile(slice, index, ratio) {
    const [left, top, width, height] = rectangle(slice.leftTopWidthHeight);
    const axis = slice.axCorSag;
    const place = { axis, left: left / ratio, top: top / ratio, width: width / ratio, height: height / ratio };
    if (axis === RENDER) return { ...place, fixed: -1, u: 0, v: 0, toCanvas: () => [0, 0], toVoxel: () => [0, 0] };
    const fixed = FIXED[axis];
    const [u, v] = [0, 1, 2].filter((one) => one !== fixed);
    const shape = this.nv.volumes[0].dimsRAS;
    const at = (x, y) => {
      const share = this.nv.screenXY2TextureFrac(left + x * width, top + y * height, index, false);
      return [share[u] * shape[u + 1] - 0.5, share[v] * shape[v + 1] - 0.5];
    };
    const [start, right, below] = [at(0.25, 0.25), at(0.75, 0.25), at(0.25, 0.75)];
    const perX = (right[0] - start[0]) / (place.width / 2);
    const perY = (below[1] - start[1]) / (place.height / 2);
    const [x0, y0] = [place.left + place.width / 4, place.top + place.height / 4];
    return {
      ...place, fixed, u, v,
      toCanvas: (a, b) => [x0 + (a - start[0]) / perX, y0 + (b - start[1]) / perY],
      toVoxel: (x, y) => [start[0] + (x - x0) * perX, start[1] + (y - y0) * perY],
    };
  }

  /** @returns {Triple} the voxel of the crosshair */
  get voxel() {
    return /** @type {Triple} */ ([...this.nv.frac2vox(this.nv.scene.crosshairPos)]);
  }

  /** @param {Triple} voxel */
  set voxel(voxel) {
    const shape = this.nv.volumes[0].dimsRAS;
    const inside = voxel.map((at, axis) => Math.max(0, Math.min(shape[axis + 1] - 1, Math.round(at))));
    this.nv.scene.crosshairPos = this.nv.vox2frac(inside);
    this.draw();
  }

  /** Place in the patient, x, y, z in mm. @param {Triple} voxel @returns {Triple} */
  toMm(voxel) {
    const [x, y, z] = this.nv.frac2mm(this.nv.vox2frac(voxel), 0, true);
    return [x, y, z];
  }

  /** @param {Triple} voxel */
  intensity([x, y, z]) {
    return this.nv.volumes[0].getValue(x, y, z);
  }

  /** @param {number} factor @param {Tile} [tile] */
  zoom(factor, tile) {
    if (tile?.fixed === -1) {
      this.nv.scene.volScaleMultiplier = limited(this.nv.scene.volScaleMultiplier * factor, 0.5, 4);
      return this.draw();
    }
    const [x, y, z, scale] = this.nv.scene.pan2Dxyzmm;
    const next = limited(scale * factor, 1, 12);
    const centre = this.nv.frac2mm(this.nv.scene.crosshairPos);
    const move = next - scale;
    const pan = next === 1 ? [0, 0, 0] : [x - centre[0] * move, y - centre[1] * move, z - centre[2] * move];
    this.nv.scene.pan2Dxyzmm = [...pan, next];
    return this.draw();
  }

  /** @param {Tile} tile @param {number} dx @param {number} dy CSS pixels */
  pan(tile, dx, dy) {
    const spacing = this.nv.volumes[0].pixDimsRAS;
    const pan = this.nv.scene.pan2Dxyzmm;
    const [from, to] = [tile.toVoxel(0, 0), tile.toVoxel(dx, dy)];
    pan[tile.u] += (to[0] - from[0]) * spacing[tile.u + 1] * pan[3];
    pan[tile.v] += (to[1] - from[1]) * spacing[tile.v + 1] * pan[3];
    this.draw();
  }

  /** @param {number} azimuth @param {number} elevation degrees to turn the 3D view by */
  turn(azimuth, elevation) {
    const { renderAzimuth, renderElevation } = this.nv.scene;
    this.nv.scene.renderAzimuth = renderAzimuth + azimuth;
    this.nv.scene.renderElevation = limited(renderElevation + elevation, -90, 90);
    this.draw();
  }
}

/** NiiVue mirrors by a negative width. @param {number[]} ltwh */
function rectangle([left, top, width, height]) {
  return width < 0 ? [left + width, top, -width, height] : [left, top, width, height];
}

/** @param {number} value @param {number} low @param {number} high */
function limited(value, low, high) {
  return Math.max(low, Math.min(high, value));
}

/** Whether a processor draws instead of a graphics card: the 3D view is then slow. */
function isSoftware(gl) {
  const names = gl.getExtension("WEBGL_debug_renderer_info");
  return names ? /swiftshader|llvmpipe|software/i.test(String(gl.getParameter(names.UNMASKED_RENDERER_WEBGL))) : false;
}
