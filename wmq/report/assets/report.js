// Tables whose headings sort them: by `data-order` where a cell has one, unknown values last.
"use strict";
(() => {
  const orderOf = (row, column) => {
    const text = row.cells[column].dataset.order;
    if (text === undefined) return null;
    const value = Number(text);
    return Number.isNaN(value) ? text : value;
  };

  const compare = (one, other) => {
    if (typeof one === "number" && typeof other === "number") return one - other;
    return String(one).localeCompare(String(other));
  };

  const sort = (table, column, descending) => {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const known = rows.filter((row) => orderOf(row, column) !== null);
    known.sort((one, other) => compare(orderOf(one, column), orderOf(other, column)));
    if (descending) known.reverse();
    body.append(...known, ...rows.filter((row) => orderOf(row, column) === null));
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const descending = head.getAttribute("aria-sort") === "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", descending ? "descending" : "ascending");
        sort(table, column, descending);
      });
    });
  }
})();
