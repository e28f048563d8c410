/** Keys for what a reader does often, and the dialog that lists them. */

import { byId, make } from "./dom.js";

/**
 * @typedef {{keys: string[], text: string, group: string, use: () => void, onPicture?: boolean, repeats?: boolean}} Key
 *   `keys` as `KeyboardEvent.key`, letters in lower case; `onPicture`: only if the picture has the focus; `repeats`: a
 *   key that is held works again and again
 */

/** @param {Key[]} table @param {() => boolean} isActive whether a scan is open */
export function connectKeys(table, isActive) {
  const dialog = byId("help");
  const show = () => dialog.showModal();
  byId("help-button").addEventListener("click", show);
  byId("help-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  fillDialog(table);
  document.addEventListener("keydown", (event) => {
    if (event.altKey || document.querySelector("dialog[open]") || isTyping(event.target)) return;
    if (event.ctrlKey || event.metaKey) {
      withControl(event, table, isActive);
      return;
    }
    if (event.key === "?") {
      event.preventDefault();
      show();
      return;
    }
    if (!isActive()) return;
    const found = find(table, event);
    if (!found) return;
    event.preventDefault();
    if (!event.repeat || found.repeats) found.use();
  });
}

/** @param {Key[]} table @param {KeyboardEvent} event */
function find(table, event) {
  const onPicture = event.target === byId("overlay");
  const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.key.length === 1 && !onPicture && !byId("keys-on").checked) return undefined;
  if (name === " " && !onPicture) return undefined;
  return table.find((key) => key.keys.includes(name) && (onPicture || !key.onPicture));
}

/** Undo, redo and save as in other programs. */
function withControl(event, table, isActive) {
  if (!isActive()) return;
  const letter = event.key.toLowerCase();
  const name = { z: event.shiftKey ? "y" : "z", y: "y", s: "k" }[letter];
  const found = name && table.find((key) => key.keys.includes(name));
  if (!found) return;
  event.preventDefault();
  if (!event.repeat) found.use();
}

/** @param {EventTarget | null} target */
function isTyping(target) {
  return target instanceof HTMLInputElement && !["range", "checkbox", "button"].includes(target.type);
}

const NAMES = { " ": "Space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", PageUp: "Page up", PageDown: "Page down", Escape: "Esc", "+": "+", "-": "−" };

/** @param {Key[]} table */
export function fillDialog(table) {
  const groups = [...new Set(table.map((key) => key.group))];
  byId("key-list").replaceChildren(...groups.map((group) => {
    const lines = new Map();
    for (const { keys, text } of table.filter((key) => key.group === group)) lines.set(text, [...(lines.get(text) ?? []), keys[0]]);
    const rows = [...lines].map(([text, keys]) => make("div", {}, make("dt", {}, ...keys.map((key) => make("kbd", {}, NAMES[key] ?? key.toUpperCase()))), make("dd", {}, text)));
    return make("div", { className: "key-group" }, make("h3", {}, group), ...rows);
  }));
}
