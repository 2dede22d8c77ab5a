"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const data = JSON.parse(find("data").textContent);
  const circles = [...document.querySelectorAll("#map circle")];
  const panel = find("panel"), clusters = [...document.querySelectorAll("[data-cluster]")];
  let open = null, cluster = null;

  function element(tag, text = "", className = "") {
    const made = document.createElement(tag);
    made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function picture(entry) {
    const image = element("img");
    image.src = entry.thumbnail;
    image.alt = `Image by ${entry.name}`;
    return image;
  }

  function show(i, focus = false) {
    open = i;
    const entry = data[i], near = new Map(entry.neighbours);
    circles.forEach((circle, j) => {
      circle.classList.toggle("open", j === i);
      circle.classList.toggle("near", near.has(j));
      circle.tabIndex = j === i ? 0 : -1;
    });
    const facts = element("dl");
    for (const [name, value] of Object.entries(entry.facts)) facts.append(element("dt", name), element("dd", value));
    const list = element("ul", "", "near");
    for (const [j, cosine] of entry.neighbours) {
      const item = element("li"), button = element("button");
      if (data[j].thumbnail) button.append(picture(data[j]));
      button.append(element("span", data[j].name), element("span", cosine.toFixed(2), "number"));
      button.addEventListener("click", () => show(j, true));
      item.append(button);
      list.append(item);
    }
    panel.replaceChildren(element("h2", entry.name), facts, element("h3", "Nearest, with cosines"), list);
    if (entry.thumbnail) facts.before(picture(entry));
    if (focus) circles[i].focus();
  }

  function filter() {
    const words = find("find").value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    circles.forEach((circle, i) => {
      const text = `${data[i].name} ${data[i].facts["trigger words"]}`.toLowerCase();
      const is = words.every((word) => text.includes(word)) && (cluster === null || data[i].cluster === cluster);
      circle.classList.toggle("dim", !is);
      shown += is;
    });
    find("count").textContent = words.length || cluster !== null ? `${shown} of ${data.length} LoRAs` : "";
  }

  function step(i, key) {
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    const at = (circle) => [circle.cx.baseVal.value, circle.cy.baseVal.value];
    const [x, y] = at(circles[i]);
    let best = null, least = Infinity;
    circles.forEach((circle, j) => {
      const [u, v] = at(circle), along = (u - x) * dx + (v - y) * dy, across = Math.abs((u - x) * dy) + Math.abs((v - y) * dx);
      const cost = along + 2 * across;
      if (j !== i && along > 0 && cost < least) [best, least] = [j, cost];
    });
    if (best !== null) show(best, true);
  }

  circles.forEach((circle, i) => {
    circle.addEventListener("click", () => show(i));
    circle.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") show(i);
      else if (event.key.startsWith("Arrow")) step(i, event.key);
      else return;
      event.preventDefault();
    });
  });
  clusters.forEach((button) => button.addEventListener("click", () => {
    const number = Number(button.dataset.cluster);
    cluster = cluster === number ? null : number;
    clusters.forEach((other) => other.setAttribute("aria-pressed", String(Number(other.dataset.cluster) === cluster)));
    filter();
  }));
  find("find").addEventListener("input", filter);
  if (data.length) show(0);
})();
