// Tasks by job: a row for each task, and of the jobs a column for each that tried one of the tasks shown.
"use strict";

(async () => {
  const { el, format, hash } = trajgen;
  const PER_PAGE = 60;
  const form = document.querySelector("[data-filters]");
  const [head, body] = document.querySelectorAll("[data-grid] thead, [data-grid] tbody");
  const count = document.querySelector("[data-count]");
  const GRADED = ["resolved", "partial", "unsolved"];

  const index = await trajgen.load("index");
  const column = Object.fromEntries(index.columns.task.map((name, at) => [name, at]));
  const attempt = Object.fromEntries(index.columns.attempt.map((name, at) => [name, at]));
  const jobs = new Map(index.jobs.map(([name, slug, dataset, campaign, model, scaffold], at) => [name, { name, slug, campaign, model, scaffold, at }]));
  const tasks = new Map(); // data set and id to the attempts under all campaigns

  for (const [number, [name]] of index.shards.entries()) {
    count.textContent = `loading ${number + 1} of ${index.shards.length} parts…`;
    const shard = await trajgen.load(name);
    for (const row of shard.rows) {
      if (!row[column.attempts].length) continue;
      const [dataset, id] = [row[column.dataset], row[column.id]];
      const key = `${dataset}/${id}`;
      if (!tasks.has(key)) tasks.set(key, { key, dataset, id, attempts: [] });
      for (const each of row[column.attempts]) {
        const [job, trial] = [each[attempt.job], each[attempt.trial]];
        tasks.get(key).attempts.push({
          job: shard.jobs[job], href: `${shard.pages[job]}/${shard.odd[trial] ?? trial}.html`,
          outcome: each[attempt.outcome], reward: each[attempt.reward], cause: each[attempt.cause],
        });
      }
    }
  }
  for (const task of tasks.values()) {
    const graded = task.attempts.filter((each) => GRADED.includes(each.outcome));
    task.isSolved = graded.some((each) => each.outcome === "resolved");
    task.differs = new Set(graded.map((each) => each.outcome)).size > 1;
    task.nTries = task.isSolved ? 0 : task.attempts.filter((each) => each.outcome !== "superseded").length;
  }
  const select = form.elements.dataset;
  select.append(...[...new Set([...tasks.values()].map((task) => task.dataset))].sort().map((name) => el("option", {}, name)));

  let at = 0;
  const ONLY = {
    "": () => true, differ: (task) => task.differs, never: (task) => !task.isSolved, several: (task) => task.attempts.length > 1,
  };

  function show() {
    const said = Object.fromEntries(new FormData(form));
    const found = [...tasks.values()].filter((task) => (!said.dataset || task.dataset === said.dataset)
      && (ONLY[said.only] ?? ONLY[""])(task) && task.key.toLowerCase().includes(said.q.trim().toLowerCase()));
    found.sort((a, b) => (said.order === "tries" ? b.nTries - a.nTries : 0) || (a.key < b.key ? -1 : 1));
    at = Math.min(at, Math.max(0, Math.ceil(found.length / PER_PAGE) - 1));
    const shown = found.slice(at * PER_PAGE, (at + 1) * PER_PAGE);
    const used = new Set(shown.flatMap((task) => task.attempts.map((each) => each.job)));
    const columns = [...jobs.values()].filter((job) => used.has(job.name)).sort((a, b) => b.at - a.at);
    count.textContent = `${format.count(found.length)} of ${format.count(tasks.size)} tasks`;
    head.replaceChildren(el("tr", {}, el("th", { scope: "col" }, "Task"), ...columns.map((job) => el("th", { scope: "col", class: "job" },
      el("a", { href: `jobs/${job.slug}/index.html`, title: `${job.name}, ${job.campaign}, ${job.model ?? "model not known"}` }, trajgen.short(job.name))))));
    body.replaceChildren(...shown.map((task) => el("tr", {},
      el("th", { scope: "row" }, el("span", { class: "note" }, `${task.dataset}/`), task.id),
      ...columns.map((job) => el("td", { class: "cells" }, ...task.attempts.filter((each) => each.job === job.name).map((each) =>
        trajgen.outcome(each.outcome, { href: each.href, reward: each.reward, brief: true, title: `${task.id} in ${job.name}: ${each.cause?.replaceAll("_", " ") ?? each.outcome}` })))))));
    trajgen.pager(at, PER_PAGE, found.length);
  }

  const said = hash.read();
  for (const each of form.elements) if (each.name) each.value = said[each.name] ?? "";
  form.addEventListener("input", () => { hash.write(Object.fromEntries(new FormData(form))); at = 0; show(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { hash.write({}); at = 0; show(); }));
  document.querySelector("[data-pager]").addEventListener("click", (event) => {
    const step = Number(event.target.dataset.step ?? 0);
    if (step) { at += step; show(); }
  });
  show();
})().catch(trajgen.fail);
