/**
 * Compare the mask with a reference: an expert's outline, or the mask of another tool.
 *
 * @typedef {import("./workspace.js").Workspace} Workspace
 * @typedef {{name: string, dice_volume: number | null, hausdorff_95_mm: number | null, surface_dice: number | null,
 *   average_surface_distance_mm: number | null, reference_ml: number | null, predicted_ml: number | null,
 *   reference_voxels: number, predicted_voxels: number}} Comparison
 * @typedef {{voxels: Uint8Array, values: Comparison}} Reference
 */

import { compareMasks, worstSlices } from "./agreement.js";
import { ask, fileUrl, readFile } from "./api.js";
import { announce, byId, fixed, inMl, make } from "./dom.js";
import { droppedFiles } from "./open.js";

const MOST_BUTTONS = 6;
const HINT = "Another outline of this scan, such as an expert's. NIfTI, NRRD, DICOM SEG, TIFF or PNG, on the grid of the scan.";

export class ReferencePanel {
  /** @param {Workspace} workspace @param {() => Promise<boolean>} save the correction */
  constructor(workspace, save) {
    this.workspace = workspace;
    this.save = save;
    this.busy = false;
    this.isOutdated = false; // the mask was saved during a request
    this.error = "";
    /** @type {ReturnType<typeof compareMasks> | null} */
    this.agreement = null;
    this.input = make("input", { type: "file", multiple: true, hidden: true, tabIndex: -1, id: "reference-files", ariaLabel: "Files of a reference mask" });
    this.input.addEventListener("change", () => {
      this.#send([...this.input.files]);
      this.input.value = "";
    });
    this.legend = make("div", { className: "legend outlines", id: "outline-legend", hidden: true });
    byId("summary").before(this.legend);
    const zone = make("p", { id: "dropping-reference", dataset: { when: "result" }, hidden: true }, "Drop a reference mask here, to compare");
    byId("dropping").append(zone);
    this.#takeDrops(zone);
  }

  /** The section of an opened case. @param {import("./api.js").Job} job */
  build(job) {
    Object.assign(this, { busy: false, isOutdated: false });
    this.error = "";
    this.section = make("section", { className: "reference", id: "reference", ariaLabel: "Compare with a reference" });
    this.#takeDrops(this.section);
    this.#render();
    if (job.reference) this.#work(async (id) => ({ values: await this.#readValues(id), voxels: await this.#readVoxels(id) }));
    return this.section;
  }

  /** @returns {Reference | null} */
  get #current() {
    return this.workspace.session?.reference ?? null;
  }

  #takeDrops(place) {
    place.addEventListener("drop", async (event) => {
      if (!this.workspace.session || !event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault(); // so that it is not opened as a scan
      this.#send((await droppedFiles(event.dataTransfer)).map(({ file }) => file));
    });
  }

  /** @param {File[]} files of one mask; a folder of slices may have the images too */
  #send(files) {
    if (!files.length) return;
    const masks = files.length > 1 ? files.filter(({ name }) => /_mask\.\w+$/i.test(name)) : [];
    const form = new FormData();
    for (const file of masks.length ? masks : files) form.append("mask", file, file.name);
    form.append("labels", byId("reference-labels")?.value ?? "");
    this.#work(async (id) => {
      const values = await (await ask(`/${encodeURIComponent(id)}/reference`, { method: "PUT", body: form })).json();
      return { values, voxels: await this.#readVoxels(id) };
    });
  }

  /** @param {string} id */
  async #readVoxels(id) {
    return new Uint8Array(await readFile(id, "reference.u8"));
  }

  /** @param {string} id @returns {Promise<Comparison>} */
  async #readValues(id) {
    return (await ask(`/${encodeURIComponent(id)}/reference.json`)).json();
  }

  /** Replace the reference by that of a function. @param {(id: string) => Promise<Reference | null>} read */
  async #work(read) {
    const { session } = this.workspace;
    if (!session || this.busy) return;
    this.busy = true;
    this.error = "";
    this.#render();
    let [found, error] = [session.reference, ""];
    try {
      found = await read(session.id);
    } catch (fault) {
      error = fault.message;
    }
    if (session !== this.workspace.session) return;
    Object.assign(this, { busy: false, error });
    session.reference = found;
    this.#render();
    this.workspace.redraw();
    const dice = this.agreement?.dice ?? null;
    if (!error) announce(found ? `Compared with ${found.values.name}: Dice ${dice === null ? "undefined" : fixed(dice, 2)}` : "The reference is removed");
    if (this.isOutdated) this.refresh();
  }

  /** The server has another mask: measure distances again. */
  refresh() {
    this.isOutdated = this.busy;
    if (this.#current) this.#work(async (id) => ({ ...this.#current, values: await this.#readValues(id) }));
  }

  #remove() {
    this.#work(async (id) => {
      await ask(`/${encodeURIComponent(id)}/reference`, { method: "DELETE" });
      return null;
    }).then(() => byId("reference-choose")?.focus());
  }

  #render() {
    const { values } = this.#current ?? {};
    const choose = make("button", { type: "button", id: "reference-choose" }, values ? "Another mask" : "Choose a mask");
    choose.addEventListener("click", () => this.input.click());
    const status = this.busy ? [make("p", { className: "small", id: "reference-busy" }, "Compares the masks …")] : [];
    const error = this.error ? [make("p", { className: "refusal", role: "alert", id: "reference-error" }, this.error)] : [];
    const parts = values ? this.#comparison(values, choose) : this.#invitation(choose);
    const [isOpen, focused] = [this.section.querySelector("details")?.open, this.section.contains(document.activeElement)];
    const focus = focused && document.activeElement.id;
    this.section.classList.toggle("waits", !values);
    this.section.replaceChildren(make("h3", {}, "Compare with a reference"), ...error, ...status, ...parts, this.input);
    if (isOpen) this.section.querySelector("details")?.setAttribute("open", "");
    this.show();
    if (focused) (byId(focus) ?? choose).focus();
  }

  #invitation(choose) {
    const labels = make("input", { type: "text", id: "reference-labels", placeholder: "all above 0", autocomplete: "off", spellcheck: false });
    return [make("p", { className: "small" }, `${HINT} Drop it here.`), make("div", { className: "row" }, choose,
      make("label", { className: "small", title: "Values of the mask that are tumour, such as 1,2,4" }, "Tumour values", labels))];
  }

  /** @param {Comparison} values @param {HTMLElement} choose */
  #comparison(values, choose) {
    const remove = make("button", { type: "button", className: "quiet", id: "reference-remove" }, "Remove");
    remove.addEventListener("click", () => this.#remove());
    const shown = make("input", { type: "checkbox", id: "reference-shown", checked: this.workspace.display.reference });
    shown.addEventListener("change", () => this.toggle(shown.checked));
    const rows = make("table", {}, make("thead", {}, make("tr", {}, ...["Slice", "Dice", "Mask", "Reference", "Differ"].map((text) => make("th", { scope: "col" }, text)))), make("tbody", { id: "reference-rows" }));
    return [
      make("p", { className: "small reference-name", title: values.name }, values.name),
      make("div", { id: "reference-numbers", className: "comparison" }), make("div", { id: "reference-note", className: "small" }),
      make("div", { id: "reference-worst", className: "worst" }),
      make("details", { className: "slices-table" }, make("summary", { id: "reference-summary" }), make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Dice of each slice" }, rows)),
      make("label", { className: "check" }, shown, "Outline of the reference (C)"),
      make("div", { className: "row" }, choose, remove),
    ];
  }

  /** @param {boolean} on whether the outline of the reference is drawn */
  toggle(on) {
    this.workspace.display.reference = on;
    if (byId("reference-shown")) byId("reference-shown").checked = on;
    this.workspace.redraw();
  }

  /** Show the values of the mask as it is drawn; distances are the server's. */
  show() {
    const { session } = this.workspace;
    const reference = this.#current;
    this.agreement = reference ? compareMasks(session.mask, reference.voxels, session.shape) : null;
    if (this.agreement && byId("reference-numbers")) {
      byId("reference-numbers").replaceChildren(...this.#numbers(reference.values, this.agreement.dice));
      byId("reference-note").replaceChildren(...this.#notes(reference.values));
      this.#showSlices(this.agreement.slices);
    }
    this.showSlice();
  }

  /** @param {Comparison} values @param {number | null} dice */
  #numbers(values, dice) {
    const { ml, voxels } = this.workspace.measures ?? { ml: null, voxels: 0 };
    const volume = (inMillilitres, count) => (inMillilitres === null ? `${fixed(count, 0)} voxels` : `${inMl(inMillilitres)} ml`);
    const length = (mm) => (mm === null ? "undefined" : `${fixed(mm, 1)} mm`);
    const stale = this.workspace.session.isChanged ? "stale" : "";
    const rows = [
      ["Mean surface distance", length(values.average_surface_distance_mm), stale],
      ["Hausdorff distance, 95 %", length(values.hausdorff_95_mm), stale],
      ["Surface Dice at 2 mm", values.surface_dice === null ? "undefined" : fixed(values.surface_dice, 2), stale],
      ["Volume of the mask", volume(ml, voxels), ""],
      ["Volume of the reference", volume(values.reference_ml, values.reference_voxels), ""],
    ];
    return [
      make("div", { className: "figure" }, make("h4", {}, "Dice with the reference"), make("p", { className: "value" }, make("strong", { id: "reference-dice" }, dice === null ? "undefined" : fixed(dice, 3)))),
      make("dl", {}, ...rows.map(([name, value, className]) => make("div", { className }, make("dt", {}, name), make("dd", {}, value)))),
    ];
  }

  /** @param {Comparison} values */
  #notes(values) {
    const { session } = this.workspace;
    const notes = [];
    if (session.isChanged) {
      const save = make("button", { type: "button", className: "link", id: "reference-save" }, "Save the correction");
      save.addEventListener("click", async () => (await this.save()) && byId("reference-shown")?.focus());
      notes.push(make("p", {}, "Dice and volume are of the mask as you see it, distances of the saved mask. ", save, " to measure them again."));
    }
    if (!session.spacingMm) notes.push(make("p", {}, "The voxel spacing is unknown, so there are no distances in mm."));
    else if (!values.reference_voxels !== !values.predicted_voxels) notes.push(make("p", {}, "One of the masks is empty: the distance is the diagonal of the scan."));
    return notes;
  }

  /** @param {import("./agreement.js").SliceAgreement[]} slices */
  #showSlices(slices) {
    const go = ({ z, wrong }, text, className) => {
      const button = make("button", { type: "button", className, title: `Slice ${z + 1}: ${fixed(wrong, 0)} voxels in only one of the masks` }, text);
      button.addEventListener("click", () => this.workspace.goToSlice(z));
      return button;
    };
    const worst = worstSlices(slices, MOST_BUTTONS).map((one) => go(one, `Slice ${one.z + 1}: ${fixed(one.dice, 2)}`, ""));
    byId("reference-worst").replaceChildren(...(worst.length ? [make("h4", {}, "Dice of the slices that differ in the most voxels"), make("div", { className: "row" }, ...worst)] : []));
    byId("reference-summary").textContent = `All slices (${slices.length})`;
    byId("reference-rows").replaceChildren(...slices.map((one) => make("tr", {}, make("td", {}, go(one, `${one.z + 1}`, "link")),
      ...[fixed(one.dice, 2), fixed(one.mask, 0), fixed(one.reference, 0), fixed(one.wrong, 0)].map((text) => make("td", {}, text)))));
  }

  /** Name the outlines, and give the Dice of the slice of the crosshair. */
  showSlice() {
    const { session, viewer, display } = this.workspace;
    this.legend.hidden = !this.#current || !this.agreement;
    if (this.legend.hidden) return;
    const here = this.agreement.slices.find(({ z }) => z === viewer.voxel[2]);
    const names = [["mask", "Mask", display.mask !== "hidden"], ["reference", "Reference", display.reference],
      ["model", "Model's mask", display.mask !== "hidden" && (session.history.canUndo || session.result.corrected)]];
    this.legend.replaceChildren(
      ...names.filter(([, , on]) => on).map(([kind, text]) => make("span", { className: kind }, make("i"), text)),
      make("span", { className: "here" }, here ? `Slice ${here.z + 1}: Dice ${fixed(here.dice, 2)}` : `Slice ${viewer.voxel[2] + 1}: in neither`));
  }
}
