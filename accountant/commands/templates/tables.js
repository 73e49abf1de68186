// Sorts and filters the tables of a page. Without it the page says the same.
"use strict";
(() => {
  const STEP = 500, FEW = 6;
  const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const number = new Intl.NumberFormat("en");
  const made = (tag, values = {}, ...inside) => {
    const element = Object.assign(document.createElement(tag), values);
    element.append(...inside);
    return element;
  };
  const labelled = (text, control, name) => control.setAttribute("aria-label", text) ?? made("label", { className: name ?? "" }, made("span", { textContent: text }), control);

  function valueOf(row, at) {
    const cell = row.cells[at];
    if (!cell) return null;
    if (cell.dataset.v !== undefined) {
      const value = Number(cell.dataset.v);
      return cell.dataset.v === "" || Number.isNaN(value) ? null : value;
    }
    const text = cell.textContent.trim();
    return text === "" || text === "-" || text === "–" ? null : text;
  }

  function compare(one, other, down) {
    // What has no value comes last, whichever way round.
    if (one === null || other === null) return (one === null) - (other === null);
    const found = typeof one === "number" && typeof other === "number" ? one - other : words.compare(String(one), String(other));
    return down ? -found : found;
  }

  function tools(box) {
    const table = box.querySelector("table"), body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
    const written = [...body.rows], texts = new Map(), name = box.dataset.name ?? "rows";
    if (written.length < 2) return;
    let order = written, column = -1, down = false, most = STEP;
    const titles = heads.map(head => head.textContent.trim());
    const search = made("input", { type: "search", autocomplete: "off", spellcheck: false, placeholder: "filter: any words" });
    const groups = made("select"), sorter = made("select"), way = made("button", { type: "button", className: "way" });
    const said = made("span", { className: "said" }), more = made("p", { className: "more" });
    said.setAttribute("role", "status");
    const bar = made("div", { className: "tools" });
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", `Sort and filter: ${name}`);
    const counts = new Map();
    for (const row of written) if (row.dataset.group) counts.set(row.dataset.group, (counts.get(row.dataset.group) ?? 0) + 1);
    groups.append(made("option", { value: "", textContent: `all rows (${number.format(written.length)})` }));
    for (const [group, count] of counts) groups.append(made("option", { value: group, textContent: `${group} (${number.format(count)})` }));
    sorter.append(made("option", { value: -1, textContent: "order as written" }));
    titles.forEach((title, at) => sorter.append(made("option", { value: at, textContent: `by ${title}` })));
    if (written.length >= FEW) bar.append(labelled("Filter", search));
    if (written.length >= FEW && counts.size > 1) bar.append(labelled("Show", groups));
    bar.append(labelled("Sort", sorter, "sorter"), way, said);
    box.classList.add("ready");

    const textOf = row => texts.get(row) ?? (texts.set(row, row.textContent.toLowerCase()), texts.get(row));

    function shown() {
      const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      for (const row of order) {
        const fits = (!groups.value || row.dataset.group === groups.value) && wanted.every(word => textOf(row).includes(word));
        row.hidden = !fits;
        row.classList.toggle("later", fits && count >= most);
        count += fits;
      }
      const all = number.format(written.length);
      said.textContent = count === written.length ? `${all} rows` : `${number.format(count)} of ${all} rows`;
      more.replaceChildren();
      if (count > most) {
        const next = Math.min(STEP, count - most);
        const button = made("button", { type: "button", textContent: `Show ${number.format(next)} more` });
        const rest = made("button", { type: "button", textContent: `Show all ${number.format(count)}` });
        button.onclick = () => { most += STEP; shown(); };
        rest.onclick = () => { most = Infinity; shown(); };
        more.append(`${number.format(most)} of ${number.format(count)} rows are shown. `, button, " ", rest);
      }
    }

    function sort(at, downwards) {
      column = at;
      down = at >= 0 && downwards;
      order = written;
      if (at >= 0) {
        const keyed = written.map(row => [valueOf(row, at), row]);
        keyed.sort((one, other) => compare(one[0], other[0], down));
        order = keyed.map(pair => pair[1]);
      }
      body.append(...order);
      heads.forEach((head, each) => head.setAttribute("aria-sort", each !== at ? "none" : down ? "descending" : "ascending"));
      sorter.value = at;
      way.textContent = down ? "descending" : "ascending";
      way.disabled = at < 0;
      shown();
    }

    const buttons = heads.map((head, at) => {
      const button = made("button", { type: "button", textContent: titles[at] });
      button.onclick = () => (column !== at ? sort(at, false) : down ? sort(-1, false) : sort(at, true));
      head.replaceChildren(button);
      return button;
    });
    // Where rows are cards nobody sees the headings, so the keyboard skips them; the list beside the filter sorts.
    const reached = () => {
      const tabIndex = getComputedStyle(table.tHead).position === "absolute" ? -1 : 0;
      for (const button of buttons) button.tabIndex = tabIndex;
    };
    addEventListener("resize", reached);
    reached();
    sorter.onchange = () => sort(Number(sorter.value), false);
    way.onclick = () => sort(column, !down);
    search.oninput = groups.onchange = () => { most = STEP; shown(); };
    table.before(bar);
    table.after(more);
    sort(-1, false);
  }

  document.querySelectorAll(".listing").forEach(tools);
})();
