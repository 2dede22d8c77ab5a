"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const place = `lorarar-rating-${document.querySelector("main").dataset.sheet}`;
  const blocks = [...document.querySelectorAll(".block")];
  const questions = [...document.querySelectorAll("fieldset")];
  const name = (question) => `${question.closest(".block").dataset.id},${question.dataset.axis}`;
  const kept = { rater: "", at: 0, labels: {} };
  try { Object.assign(kept, JSON.parse(localStorage.getItem(place) || "{}")); } catch { /* private window: nothing is kept */ }

  function keep() {
    try { localStorage.setItem(place, JSON.stringify(kept)); } catch { /* see above */ }
  }

  function active() {
    const here = blocks[kept.at] ? [...blocks[kept.at].querySelectorAll("fieldset")] : [];
    return here.find((question) => !(name(question) in kept.labels)) ?? null;
  }

  function show() {
    kept.at = Math.min(Math.max(kept.at, 0), blocks.length - 1);
    blocks.forEach((block, i) => { block.hidden = i !== kept.at; });
    const current = active();
    for (const question of questions) {
      question.classList.toggle("active", question === current);
      for (const button of question.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", String(kept.labels[name(question)] === button.dataset.label));
      }
    }
    const done = questions.filter((question) => name(question) in kept.labels).length;
    find("progress").max = questions.length || 1;
    find("progress").value = done;
    find("count").textContent = `${done} of ${questions.length} answers`;
    keep();
  }

  function answer(question, label) {
    kept.labels[name(question)] = label;
    if (!active()) kept.at += 1;
    show();
  }

  function go(by) {
    kept.at += by;
    show();
  }

  function save() {
    const rater = find("rater").value.trim();
    if (!rater) {
      find("rater").focus();
      find("count").textContent = "enter your name first";
      return;
    }
    const quoted = `"${rater.replaceAll('"', '""')}"`;
    const rows = questions.map(name).filter((key) => ["0", "1"].includes(kept.labels[key]));
    const text = ["item,axis,label,rater", ...rows.map((key) => `${key},${kept.labels[key]},${quoted}`), ""].join("\n");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = "labels.csv";
    link.click();
    URL.revokeObjectURL(link.href);
    find("count").textContent = `${rows.length} labels saved`;
  }

  find("rater").value = kept.rater;
  find("rater").addEventListener("input", (event) => { kept.rater = event.target.value; keep(); });
  find("back").addEventListener("click", () => go(-1));
  find("forward").addEventListener("click", () => go(1));
  find("save").addEventListener("click", save);
  for (const question of questions) {
    question.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) answer(question, button.dataset.label);
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.target === find("rater") || event.ctrlKey || event.metaKey || event.altKey) return;
    const label = { y: "1", n: "0", s: "skip" }[event.key.toLowerCase()];
    const question = active() ?? blocks[kept.at]?.querySelector("fieldset");
    if (label && question) answer(question, label);
    if (event.key === "ArrowLeft") go(-1);
    if (event.key === "ArrowRight") go(1);
  });
  addEventListener("load", () => {
    for (const image of document.images) if (image.naturalWidth <= 64) image.style.imageRendering = "pixelated";
  });
  for (const hidden of [find("controls"), ...document.querySelectorAll(".answers")]) hidden.hidden = false;
  show();
})();
