/** Toolbar and display controls of the picture. */

import { byId, fixed, icon, make } from "./dom.js";
import { TOOLS } from "./painter.js";

/** @param {import("./workspace.js").Workspace} workspace */
export function connectControls(workspace) {
  byId("tools").append(...TOOLS.map((tool) => {
    const button = make("button", { type: "button", title: `${tool.label} (${tool.key})`, dataset: { tool: tool.name }, aria: { pressed: "false" } });
    button.append(icon(tool.icon), make("span", {}, tool.label));
    return button;
  }));
  pick("tools", "tool", (name) => workspace.setTool(name));
  pick("views", "view", (view) => workspace.setView(view));
  pick("mask-styles", "mask", (style) => setMaskStyle(workspace, style));
  pick("reach", "reach", (reach) => setReach(workspace, reach === "ball"));
  byId("undo").addEventListener("click", () => workspace.undo());
  byId("redo").addEventListener("click", () => workspace.redo());
  byId("slice").addEventListener("input", (event) => workspace.goToSlice(Number(event.target.value)));
  byId("brush-size").addEventListener("input", (event) => setSize(workspace, Number(event.target.value)));
  byId("opacity").addEventListener("input", (event) => {
    workspace.display.opacity = Number(event.target.value) / 100;
    workspace.applyDisplay();
  });
  for (const name of ["heat", "crosshair"]) {
    byId(name).addEventListener("change", (event) => setDisplay(workspace, name, event.target.checked));
  }
  for (const name of ["window-width", "window-level"]) byId(name).addEventListener("change", () => typeWindow(workspace));
  byId("window-reset").addEventListener("click", () => workspace.resetWindow());
}

/** Call back with the value of the button that is pressed in a group. */
function pick(group, name, use) {
  byId(group).addEventListener("click", (event) => {
    const button = event.target.closest(`[data-${name}]`);
    if (button) use(button.dataset[name]);
  });
}

function press(group, name, value) {
  for (const button of byId(group).querySelectorAll(`[data-${name}]`)) {
    button.setAttribute("aria-pressed", String(button.dataset[name] === value));
  }
}

function typeWindow(workspace) {
  const [width, level] = ["window-width", "window-level"].map((id) => Number(byId(id).value));
  if (width > 0 && Number.isFinite(level)) workspace.setWindow(width, level);
  else showDisplay(workspace);
}

/** @param {import("./workspace.js").Workspace} workspace @param {string} style */
export function setMaskStyle(workspace, style) {
  workspace.display.mask = style;
  workspace.applyDisplay();
}

/** @param {import("./workspace.js").Workspace} workspace @param {string} name @param {boolean} on */
export function setDisplay(workspace, name, on) {
  workspace.display[name] = on;
  workspace.applyDisplay();
}

/** @param {import("./workspace.js").Workspace} workspace @param {boolean} inBall */
export function setReach(workspace, inBall) {
  workspace.painter.inBall = inBall;
  press("reach", "reach", inBall ? "ball" : "slice");
}

/** @param {import("./workspace.js").Workspace} workspace @param {number} sizeMm */
export function setSize(workspace, sizeMm) {
  const kind = workspace.painter.tool.size;
  if (!kind) return;
  workspace.painter.sizesMm[kind] = Math.max(1, Math.min(40, sizeMm));
  showTool(workspace);
  workspace.redraw();
}

/** @param {import("./workspace.js").Workspace} workspace */
export function showTool(workspace) {
  const { tool, sizeMm } = workspace.painter;
  press("tools", "tool", tool.name);
  byId("stage").dataset.tool = tool.name;
  byId("brush-options").hidden = !tool.hint;
  byId("tool-hint").textContent = tool.hint;
  byId("size-label").hidden = !tool.size;
  byId("reach").hidden = !tool.reach;
  byId("brush-size").value = String(sizeMm);
  byId("brush-size-out").textContent = `${fixed(sizeMm, 0)} ${workspace.session?.spacingMm ? "mm" : "px"}`;
}

/** @param {import("./workspace.js").Workspace} workspace */
export function showDisplay({ display, viewer }) {
  press("views", "view", viewer.view);
  for (const button of byId("views").querySelectorAll("button")) button.disabled = viewer.planesOnly && button.dataset.view !== "axial";
  press("mask-styles", "mask", display.mask);
  byId("opacity-label").hidden = display.mask !== "fill";
  byId("heat").checked = display.heat;
  byId("crosshair").checked = display.crosshair;
  byId("heat-legend").hidden = !display.heat;
  byId("stage-note").hidden = !viewer.planesOnly;
  const digits = display.high - display.low < 10 ? 3 : 0;
  byId("window-width").value = (display.high - display.low).toFixed(digits);
  byId("window-level").value = ((display.high + display.low) / 2).toFixed(digits);
}

/** @param {import("./workspace.js").Workspace} workspace */
export function showHistory({ session }) {
  byId("undo").disabled = !session?.history.canUndo;
  byId("redo").disabled = !session?.history.canRedo;
}
