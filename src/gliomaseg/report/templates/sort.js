"use strict";
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const key = (row, at) => row.cells[at].dataset.value ?? "";
  const sort = (at) => {
    const rising = heads[at].getAttribute("aria-sort") !== "ascending";
    heads.forEach((head, k) => head.setAttribute("aria-sort", k !== at ? "none" : rising ? "ascending" : "descending"));
    const words = heads[at].dataset.kind === "text";
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [key(a, at), key(b, at)];
      if (x === "" || y === "") return (x === "") - (y === ""); // what does not exist is last, both ways
      const order = words ? x.localeCompare(y, "en", { numeric: true }) : x - y;
      return rising ? order : -order;
    });
    body.append(...rows);
  };
  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(at));
    head.append(button);
    head.setAttribute("aria-sort", "none");
  });
}
