/** Small functions for elements and numbers. Text is only ever set as text. */

/** @param {string} id @returns {any} */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * Make an element. Strings become text.
 * @param {string} tag
 * @param {Record<string, unknown>} [properties] of the element; `dataset` and `aria` are objects
 * @param {...(Node | string)} children
 * @returns {any}
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "dataset") Object.assign(element.dataset, value);
    else if (name === "aria") for (const [key, text] of Object.entries(value)) element.setAttribute(`aria-${key}`, text);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

/** An icon of the sprite in index.html. @param {string} name */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  svg.classList.add("icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** Text for people who hear the page. @param {string} text */
export function announce(text) {
  const place = byId("status");
  place.textContent = "";
  place.textContent = text;
}

/** Show a line above the page for some seconds. @param {string} text @param {boolean} [bad] */
export function toast(text, bad = false) {
  const line = make("p", { className: bad ? "toast bad" : "toast" }, text);
  byId("toasts").append(line);
  announce(text);
  setTimeout(() => line.remove(), bad ? 12_000 : 4_000);
}

/** @param {number} value @param {number} digits */
export function fixed(value, digits) {
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Millilitres with a sensible number of digits. @param {number} ml */
export function inMl(ml) {
  return fixed(ml, ml >= 1 ? 1 : 2);
}

/** Call a function at the next frame, once for many calls. @param {() => void} work */
export function eachFrame(work) {
  let waits = false;
  return () => {
    if (waits) return;
    waits = true;
    requestAnimationFrame(() => {
      waits = false;
      work();
    });
  };
}
