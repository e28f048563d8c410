/**
 * The requests of the page about its work list.
 *
 * @typedef {{number: number, case: string, state: string, predicted_dice: number | null,
 *   tumour_volume_ml: number | null, job: string | null, error: string | null, corrected_at: string | null,
 *   seconds: number | null, changed_voxels: number | null, reader: string | null}} WorkCase
 */

import { ServerError } from "./api.js";

const ROOT = "/v1/worklist";

/** @param {string} path @param {RequestInit} [options] @returns {Promise<any>} */
async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(ROOT + path, options);
  } catch {
    throw new ServerError(0, "The server does not answer; start `gliomaseg serve` again with the same port, then try again.");
  }
  const document = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new ServerError(answer.status, document.error || `The server answered ${answer.status}.`);
  return document;
}

/** @returns {Promise<{reader: string | null, cases: WorkCase[]}>} */
export function readWorkList() {
  return ask("");
}

/** @param {number} number @returns {Promise<import("./api.js").Job>} */
export function openCase(number) {
  return ask(`/${number}`, { method: "POST" });
}

/**
 * @param {number} number
 * @param {{seconds: number, reader: string, mask_sha256: string}} stored SHA-256 of the mask that the person sees
 * @returns {Promise<WorkCase>}
 */
export function storeCase(number, stored) {
  const headers = { "Content-Type": "application/json" };
  return ask(`/${number}/mask`, { method: "PUT", headers, body: JSON.stringify(stored) });
}
