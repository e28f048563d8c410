/** Files from the drop zone and the choosers. */

import { byId } from "./dom.js";

/** The server takes no more files in one upload. */
const MOST_FILES = 5000;
/** Files that systems add to folders. */
const SYSTEM_FILE = /(^|\/)(\.|__MACOSX\/|Thumbs\.db$|desktop\.ini$)/i;

/**
 * @param {(form: FormData, name: string) => void} send
 * @param {(message: string) => void} refuse
 */
export function connectOpen(send, refuse) {
  const use = (files) => {
    const kept = files.filter(({ path }) => !SYSTEM_FILE.test(path));
    if (!kept.length) return refuse("There is no file to read; drop a scan, or a folder with its slices.");
    if (kept.length > MOST_FILES) return refuse(`The folder has ${kept.length} files, the server takes ${MOST_FILES}; drop the folder of one series, or a zip of it.`);
    const form = new FormData();
    for (const { file, path } of kept) form.append("files", file, path);
    form.append("ask", "series"); // of a study with T1, which a person must name
    return send(form, kept.length === 1 ? kept[0].path : `${kept.length} files`);
  };
  byId("choose-files").addEventListener("click", () => byId("files").click());
  byId("choose-folder").addEventListener("click", () => byId("folder").click());
  byId("example").addEventListener("click", () => {
    const form = new FormData();
    form.append("example", "phantom");
    send(form, "phantom");
  });
  for (const name of ["files", "folder"]) {
    byId(name).addEventListener("change", (event) => {
      use([...event.target.files].map((file) => ({ file, path: file.webkitRelativePath || file.name })));
      event.target.value = "";
    });
  }
  connectDrop(use, refuse);
}

function connectDrop(use, refuse) {
  const veil = byId("dropping");
  let depth = 0;
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  window.addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    depth += 1;
    veil.hidden = false;
  });
  window.addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    veil.hidden = depth === 0;
  });
  window.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  window.addEventListener("drop", async (event) => {
    if (!hasFiles(event)) return;
    const isTaken = event.defaultPrevented; // by a part of the page
    event.preventDefault();
    depth = 0;
    veil.hidden = true;
    if (isTaken) return;
    try {
      use(await droppedFiles(event.dataTransfer));
    } catch {
      refuse("The browser cannot read what was dropped; choose the files with the button.");
    }
  });
}

/** Files of a drop, folders included, with their paths. @param {DataTransfer} transfer */
export async function droppedFiles(transfer) {
  // Entries must be taken before the first wait: the transfer is empty afterwards.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = [...transfer.files];
  if (!entries.length) return files.map((file) => ({ file, path: file.name }));
  return (await Promise.all(entries.map(walk))).flat();
}

/** @returns {Promise<{file: File, path: string}[]>} */
async function walk(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ file, path: entry.fullPath.replace(/^\//, "") }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    found.push(...some);
  }
  return (await Promise.all(found.map(walk))).flat();
}
