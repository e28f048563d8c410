/**
 * The requests of the page to its own server.
 *
 * @typedef {{number: number, title: string, voxels: number[] | null, series: string | null, sequence: string | null,
 *   usable_as: string[], error?: string}} Choice
 * @typedef {{id: string, name: string, state: string, progress: number, choices: Choice[] | null,
 *   error: string | null, result: Result | null, reference?: string | null}} Job
 * @typedef {{added_ml: number | null, removed_ml: number | null, added_voxels: number, removed_voxels: number,
 *   dice: number | null}} Changes
 * @typedef {{input: string, tumour_voxels: number, tumour_volume_ml: number | null, predicted_dice: number | null,
 *   diameters_mm: [number, number] | null, warnings: string[], models: string[], left_out: string[],
 *   threshold: number, mask_sha256: string, shape_xyz: [number, number, number], spacing_mm: [number, number, number] | null,
 *   orientation_known: boolean, formats: string[], card?: string, corrected: boolean, changes: Changes | null,
 *   mirror_disagreement_voxels?: number[] | null, smallest_component_voxels?: number, seconds?: number}} Result
 */

const ROOT = "/v1/segmentations";

/** An answer of the server that is not a success; the message is what the server wrote. */
export class ServerError extends Error {
  /** @param {number} status @param {string} message @param {number | null} [retryS] seconds after which to try again */
  constructor(status, message, retryS = null) {
    super(message);
    this.status = status;
    this.retryS = retryS;
  }
}

const GONE = "The server does not answer; start `gliomaseg serve` again with the same port, then try again.";

/** @param {string} path @param {RequestInit} [options] */
export async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(ROOT + path, options);
  } catch (fault) {
    throw options?.signal?.aborted ? fault : new ServerError(0, GONE);
  }
  if (!answer.ok) throw new ServerError(answer.status, reason(answer.status, await answer.text()), Number(answer.headers.get("Retry-After")) || null);
  return answer;
}

/** @param {number} status @param {string} body */
function reason(status, body) {
  try {
    return JSON.parse(body).error || `The server answered ${status}.`;
  } catch {
    return `The server answered ${status}.`;
  }
}

/** Path of a file of a job. @param {string} id @param {string} file */
export function fileUrl(id, file) {
  return `${ROOT}/${encodeURIComponent(id)}/${file}`;
}

/** @returns {Promise<Job[]>} newest first */
export async function listJobs() {
  return (await ask("")).json();
}

/** @param {string} id @returns {Promise<Job>} */
export async function readJob(id) {
  return (await ask(`/${encodeURIComponent(id)}`)).json();
}

/** @param {string} id @param {Record<string, number>} named numbers by sequence @returns {Promise<Job>} */
export async function choose(id, { flair, ...others }) {
  const body = JSON.stringify({ choice: flair, ...others });
  const headers = { "Content-Type": "application/json" };
  return (await ask(`/${encodeURIComponent(id)}/choice`, { method: "POST", body, headers })).json();
}

/** One scan of an upload with several, as a job of its own. @param {string} id @param {number} number @returns {Promise<Job>} */
export async function copyScan(id, number) {
  const body = JSON.stringify({ choice: number });
  const headers = { "Content-Type": "application/json" };
  return (await ask(`/${encodeURIComponent(id)}/copies`, { method: "POST", body, headers })).json();
}

/** @param {string} id @param {string} file @param {AbortSignal} [signal] @returns {Promise<ArrayBuffer>} */
export async function readFile(id, file, signal) {
  return (await ask(`/${encodeURIComponent(id)}/${file}`, { signal })).arrayBuffer();
}

/** @param {string} id */
export async function deleteJob(id) {
  await ask(`/${encodeURIComponent(id)}`, { method: "DELETE" });
}

const BYTES = { "Content-Type": "application/octet-stream" };

/** @param {string} id @param {Uint8Array} mask @param {string} former SHA-256 of the mask that it replaces @returns {Promise<Result>} */
export async function saveMask(id, mask, former) {
  const options = { method: "PUT", body: new Blob([mask]), headers: BYTES };
  return resultOf(await ask(`/${encodeURIComponent(id)}/mask?former_sha256=${former}`, options));
}

/** @param {string} id @param {string} former SHA-256 of the mask that the model's replaces @returns {Promise<Result>} */
export async function restoreMask(id, former) {
  return resultOf(await ask(`/${encodeURIComponent(id)}/mask?former_sha256=${former}`, { method: "DELETE" }));
}

/** @param {Response} answer a job @returns {Promise<Result>} */
async function resultOf(answer) {
  const job = await answer.json();
  return job.result ?? job;
}

/** @param {string} id @param {Uint8Array} strokes @param {Uint8Array} mask @returns {Promise<Uint8Array>} a mask */
export async function sendStrokes(id, strokes, mask) {
  const options = { method: "POST", body: new Blob([strokes, mask]), headers: BYTES };
  return new Uint8Array(await (await ask(`/${encodeURIComponent(id)}/strokes`, options)).arrayBuffer());
}

/**
 * Send files, or the example, and report the share that was sent. `fetch` cannot report it.
 * @param {FormData} form
 * @param {(share: number) => void} onSent 0 to 1
 * @param {AbortSignal} signal
 * @returns {Promise<Job>}
 */
export function upload(form, onSent, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", ROOT);
    request.upload.addEventListener("progress", (event) => event.lengthComputable && onSent(event.loaded / event.total));
    request.addEventListener("load", () => {
      if (request.status === 202) resolve(JSON.parse(request.responseText));
      else reject(new ServerError(request.status, reason(request.status, request.responseText)));
    });
    request.addEventListener("error", () => reject(new ServerError(0, "The upload broke off; the files may be larger than the server's limit, or the server has ended.")));
    request.addEventListener("abort", () => reject(new DOMException("", "AbortError")));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}
