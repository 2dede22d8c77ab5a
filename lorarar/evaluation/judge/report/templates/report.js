"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const data = find("data") ? JSON.parse(find("data").textContent) : null;
  if (!data) return;
  const grid = document.querySelector(".grid"), dialog = find("details");
  const rows = [...grid.querySelectorAll("tbody tr")];
  const tiles = [...grid.querySelectorAll(".tile")];
  const selects = ["kind", "method", "content", "style", "order"].map(find);
  let open = null;

  const visible = () => [...grid.querySelectorAll(".tile")].filter((tile) => tile.offsetParent);

  function filter() {
    const [kind, method, content, style] = selects.map((select) => select.value);
    const column = selects[1].selectedIndex; // 0: all methods; the first column of the table has the references
    let shown = 0;
    for (const tile of tiles) tile.hidden = kind !== "" && !tile.classList.contains(kind);
    for (const row of rows) {
      [...row.cells].forEach((cell, i) => { cell.hidden = method !== "" && i > 0 && i !== column; });
      const left = [...row.querySelectorAll("td:not([hidden]) .tile:not([hidden])")].length;
      row.hidden = !left || (content !== "" && row.dataset.content !== content) || (style !== "" && row.dataset.style !== style);
      if (!row.hidden) shown += left;
    }
    [...grid.querySelectorAll("thead th")].forEach((cell, i) => { cell.hidden = method !== "" && i > 0 && i !== column; });
    find("count").textContent = `${shown} of ${tiles.length} images`;
  }

  function sort() {
    const sign = { name: 0, worst: 1, best: -1 }[find("order").value];
    const ordered = sign ? [...rows].sort((a, b) => sign * (a.dataset.share - b.dataset.share)) : rows;
    grid.querySelector("tbody").append(...ordered);
  }

  function element(tag, text, className = "") {
    const made = document.createElement(tag);
    made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function answerRow([axis, reference, text, way, answer, differs, p, reply, reason], numbers) {
    const row = document.createElement("tr");
    if (differs) row.className = "differs";
    const seen = document.createElement("td"), name = data.references[reference];
    const image = element("span", "", `reference r${reference}`);
    image.setAttribute("role", "img");
    image.setAttribute("aria-label", name);
    image.title = name;
    seen.append(image);
    const said = element("td", "");
    said.append(element("strong", answer, answer), element("div", way, "small"));
    if (differs) said.append(element("div", "differs from the vote", "small"));
    const words = element("td", reply, "long");
    if (reason) words.append(element("div", reason, "small"));
    words.append(element("div", `question ${numbers.get(text)}`, "small"));
    row.append(element("td", axis), seen, said, element("td", p), words);
    return row;
  }

  function show(tile) {
    open = tile;
    const about = data.images[tile.dataset.number];
    find("title").textContent = about.title;
    const image = tile.querySelector("img")?.cloneNode() ?? element("p", tile.textContent);
    find("picture").className = grid.className.replace("grid", "");
    find("picture").replaceChildren(image);
    const facts = { verdict: about.verdict, prompt: about.prompt, file: about.path };
    find("about").replaceChildren(...Object.entries(facts).filter(([, value]) => value).flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
    const asked = [...new Set(about.questions.map((question) => question[2]))];
    const numbers = new Map(asked.map((text, i) => [text, i + 1]));
    find("answers").replaceChildren(...about.questions.map((question) => answerRow(question, numbers)));
    find("texts").replaceChildren(...asked.map((text) => element("li", data.texts[text])));
    find("cut").hidden = !data.cut;
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  }

  function step(by) {
    const shown = visible(), next = shown[shown.indexOf(open) + by];
    if (next) show(next);
  }

  for (const select of selects) select.addEventListener("change", () => { filter(); sort(); });
  find("size").addEventListener("input", (event) => grid.style.setProperty("--side", `${event.target.value}px`));
  grid.addEventListener("click", (event) => { const tile = event.target.closest(".tile"); if (tile) show(tile); });
  find("close").addEventListener("click", () => dialog.close());
  find("previous").addEventListener("click", () => step(-1));
  find("next").addEventListener("click", () => step(1));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => open?.focus());
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  document.querySelector(".controls").hidden = false;
  filter();
})();
