// The page of one trial: turns are drawn as the reader gets to them, and every text is loaded when it is needed.
"use strict";

(async () => {
  const { el, format } = trajgen;
  const section = document.querySelector("[data-trajectory]");
  const find = (name) => section.querySelector(`[data-${name}]`);
  const status = find("status"), list = find("turns");
  if (!list) return;
  const AT_ONCE = 64;
  const view = await trajectory.open(section.dataset.trajectory);
  let chosen = "";
  let shown = [];
  let from = 0, to = 0;
  let isOpenByDefault = false;

  // --- which conversation
  const select = find("conversation");
  const kinds = view.conversations.map((each, at) => [String(at + 1), `${at + 1} ${each.kind}${each.label ? `: ${each.label}` : ""}`]);
  for (const [value, label] of [...kinds, ["", "all calls in the order of the record"]]) select.append(el("option", { value }, label));

  async function choose(conversation, at = 0) {
    chosen = conversation;
    select.value = conversation;
    const number = Number(conversation);
    shown = view.entries.filter((each) => !conversation || each.conversation === number || (each.conversation === 0 && number === view.main));
    opening();
    await drawFrom(Math.max(0, Math.min(at, shown.length - 1)));
  }

  function opening() {
    const place = find("opening");
    place.replaceChildren();
    const begun = view.conversations[Number(chosen) - 1];
    if (!begun) return;
    if (begun.forked) place.append(el("p", { class: "note" }, `It goes on from turn ${begun.forked[1]} of conversation ${begun.forked[0]}.`));
    const told = el("details", {}, el("summary", {}, `What the model was told first: ${begun.messages.map((each) => each.role).join(", ")}; ${begun.tools.length === 1 ? "1 tool" : `${format.count(begun.tools.length)} tools`}`));
    told.addEventListener("toggle", () => {
      if (told.childElementCount > 1) return;
      if (begun.tools.length) told.append(el("p", { class: "note" }, `Tools: ${begun.tools.join(", ")}`));
      told.append(...begun.messages.map((each) => trajectory.message(view, each, status)));
    }, { once: true });
    place.append(told);
  }

  // --- drawing
  const articleOf = (entry) => document.getElementById(entry.id);

  async function made(entries) {
    return Promise.all(entries.map(async (entry) => {
      const article = trajectory.article(view, entry, await view.body(entry), { status });
      if (isOpenByDefault) article.unfold(true);
      return el("li", {}, article);
    }));
  }

  async function drawFrom(at) {
    from = Math.max(0, at - (at >= AT_ONCE ? 8 : at));
    to = Math.min(shown.length, from + AT_ONCE);
    list.replaceChildren(...(await made(shown.slice(from, to))));
    if (!shown.length) list.append(el("li", { class: "empty" }, "No call of it is on record."));
    sentinels();
  }

  async function drawLater() {
    const next = Math.min(shown.length, to + AT_ONCE);
    const items = await made(shown.slice(to, next));
    to = next;
    list.append(...items);
    sentinels();
  }

  async function drawEarlier() {
    const next = Math.max(0, from - AT_ONCE);
    const items = await made(shown.slice(next, from));
    const before = list.scrollHeight;
    from = next;
    list.prepend(...items);
    window.scrollBy(0, list.scrollHeight - before);
    sentinels();
  }

  function sentinels() {
    find("earlier").hidden = from === 0;
    find("later").hidden = to >= shown.length;
    find("earlier").textContent = `Earlier turns (${format.count(from)})`;
    find("later").textContent = `Later turns (${format.count(shown.length - to)})`;
  }

  let isDrawing = Promise.resolve();
  const inTurn = (action) => (isDrawing = isDrawing.then(action, action));
  find("earlier").addEventListener("click", () => inTurn(drawEarlier));
  find("later").addEventListener("click", () => inTurn(drawLater));
  new IntersectionObserver((seen) => {
    if (seen.some((each) => each.isIntersecting) && to < shown.length) inTurn(drawLater);
  }, { rootMargin: "800px" }).observe(find("later"));

  // --- the turn at hand
  let current = -1;

  async function go(at, { open = false, focus = true } = {}) {
    if (at < 0 || at >= shown.length) return;
    if (at === to) await drawLater();
    else if (at === from - 1) await drawEarlier();
    else if (at < from || at >= to) await drawFrom(at);
    current = at;
    const article = articleOf(shown[at]);
    list.querySelector("[aria-current]")?.removeAttribute("aria-current");
    article.setAttribute("aria-current", "true");
    if (open) unfold(article, true);
    if (focus) article.focus({ preventScroll: true });
    article.scrollIntoView({ block: "nearest" });
    history.replaceState(null, "", `#${shown[at].id}`);
    trajectory.say(status, `${format.count(at + 1)} of ${format.count(shown.length)}`);
  }

  list.addEventListener("focusin", (event) => {
    const article = event.target.closest("article");
    const at = article ? shown.findIndex((each) => each.id === article.id) : -1;
    if (at >= 0) current = at;
  });

  async function followLink() {
    const name = location.hash.slice(1);
    const conversation = name.match(/^c(\d+)$/);
    if (conversation) return choose(conversation[1]);
    const entry = view.entries.find((each) => each.id === name);
    if (!entry) return undefined;
    const wanted = entry.conversation === 0 ? chosen : String(entry.conversation);
    if (chosen !== "" && wanted !== chosen) await choose(wanted);
    const at = shown.indexOf(entry);
    await go(at, { open: true });
    articleOf(entry).scrollIntoView({ block: "start" });
    return undefined;
  }
  window.addEventListener("hashchange", () => inTurn(followLink));
  select.addEventListener("change", () => inTurn(() => choose(select.value)));

  // --- what is shown
  const toggles = [...section.querySelectorAll("[data-show]")];

  function toggle(button) {
    const isOn = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(isOn));
    list.classList.toggle(`without-${button.dataset.show}`, !isOn);
    if (button.dataset.show === "raw" && isOn) for (const article of list.querySelectorAll("article")) article.showRaw();
  }
  list.classList.add("without-raw");
  for (const button of toggles) button.addEventListener("click", () => toggle(button));

  function unfold(article, isOpen) {
    article.unfold(isOpen);
    if (isOpen && !list.classList.contains("without-raw")) article.showRaw();
  }

  function foldAll(isOpen) {
    isOpenByDefault = isOpen;
    for (const article of list.querySelectorAll("article")) unfold(article, isOpen);
  }
  for (const button of section.querySelectorAll("[data-fold]")) button.addEventListener("click", () => foldAll(button.dataset.fold === "open"));

  // --- search over all turns, drawn or not
  const box = find("find");
  let hits = [], hit = -1, searched = null;

  async function search() {
    const wanted = box.value.trim().toLowerCase();
    hits = [];
    hit = -1;
    searched = wanted;
    if (!wanted) return trajectory.say(status, "");
    for (const [at, entry] of shown.entries()) {
      if (at % 256 === 0) {
        trajectory.say(status, `Searching, ${format.count(at)} of ${format.count(shown.length)}`);
        await new Promise((resolve) => { setTimeout(resolve); });
        if (searched !== wanted) return undefined;
      }
      if ((await trajectory.texts(view, entry)).some((text) => text.toLowerCase().includes(wanted))) hits.push(at);
    }
    trajectory.say(status, hits.length ? `${format.count(hits.length)} turns have it` : "No turn has it");
    return hits.length ? step(1) : undefined;
  }

  async function step(by) {
    if (box.value.trim().toLowerCase() !== searched) return search();
    if (!hits.length) return undefined;
    hit = (hit + by + hits.length) % hits.length;
    await go(hits[hit], { open: true, focus: document.activeElement !== box });
    trajectory.say(status, `${format.count(hit + 1)} of ${format.count(hits.length)} turns that have it`);
    highlight(articleOf(shown[hits[hit]]));
    return undefined;
  }

  // Marks what was found without touching the text: ranges, where the browser knows them.
  function highlight(article) {
    if (!CSS.highlights) return;
    const ranges = [];
    const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
    while (walker.nextNode() && ranges.length < 500) {
      const text = walker.currentNode.data.toLowerCase();
      for (let at = text.indexOf(searched); at >= 0 && ranges.length < 500; at = text.indexOf(searched, at + searched.length)) {
        const range = new Range();
        range.setStart(walker.currentNode, at);
        range.setEnd(walker.currentNode, Math.min(at + searched.length, walker.currentNode.length));
        ranges.push(range);
      }
    }
    CSS.highlights.set("found", new Highlight(...ranges));
  }

  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter") inTurn(() => step(event.shiftKey ? -1 : 1));
    if (event.key === "Escape") {
      box.value = "";
      CSS.highlights?.delete("found");
      list.querySelector("article")?.focus();
    }
  });
  find("next").addEventListener("click", () => inTurn(() => step(1)));
  find("previous").addEventListener("click", () => inTurn(() => step(-1)));

  // --- keys
  const dialog = find("keys");
  find("help").addEventListener("click", () => dialog.showModal());

  function nextMarked() {
    const wanted = trajectory.FLAGS.error | trajectory.FLAGS.leak;
    const at = shown.findIndex((each, index) => index > current && (each.flags & wanted || each.kind !== trajectory.TURN));
    return at < 0 ? trajectory.say(status, "No later turn has an error or a flag.") : go(at, { open: true });
  }

  const here = () => (current >= from && current < to ? articleOf(shown[current]) : null);
  const fold = (isOpen) => {
    const article = here();
    if (article) unfold(article, isOpen ?? !article.isUnfolded());
  };
  const KEYS = {
    j: () => go(current + 1), ArrowDown: () => go(current + 1),
    k: () => go(current - 1), ArrowUp: () => go(current - 1),
    g: () => go(0), G: () => go(shown.length - 1),
    Enter: () => fold(), ArrowRight: () => fold(true), ArrowLeft: () => fold(false),
    e: nextMarked, o: () => foldAll(!isOpenByDefault),
    n: () => step(1), N: () => step(-1),
    "/": () => { box.focus(); box.select(); },
    "?": () => dialog.showModal(),
    1: () => toggle(toggles[0]), 2: () => toggle(toggles[1]), 3: () => toggle(toggles[2]), 4: () => toggle(toggles[3]),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    const target = event.target;
    if (target.closest("input, textarea, select")) return;
    const isArrow = event.key.startsWith("Arrow");
    if (isArrow && target.closest("pre, .diff, .scroll, summary")) return;
    if (event.key === "Enter" && !target.matches("article")) return;
    const action = KEYS[event.key];
    if (!action) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    inTurn(action);
  }, { capture: true });

  // --- time: two lanes, one of the model's and one of its tools' time, and tokens as they add up
  function timeline() {
    const timed = view.entries.filter((each) => each.began !== null && each.took !== null);
    if (timed.length < 1) return;
    const begin = Math.min(...timed.map((each) => each.began));
    const end = Math.max(...timed.map((each) => each.began + each.took + (each.tool ?? 0)), begin + 1);
    const x = (ms) => Number((((ms - begin) / (end - begin)) * 1000).toFixed(2));
    const lane = (top, spans) => spans.map(([at, took]) => `M${x(at)} ${top}h${Math.max(0.4, x(at + took) - x(at)).toFixed(2)}v14h-${Math.max(0.4, x(at + took) - x(at)).toFixed(2)}z`).join("");
    const svg = (tag, attributes) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
      return made;
    };
    const total = view.entries.at(-1).tokens || 1;
    const rising = timed.map((each) => `L${x(each.began + each.took)} ${(70 - (each.tokens / total) * 28).toFixed(2)}`).join("");
    const model = timed.reduce((sum, each) => sum + each.took, 0) / 1000, tools = timed.reduce((sum, each) => sum + (each.tool ?? 0), 0) / 1000;
    const told = `Model ${format.span(model)}, tools ${format.span(tools)}, ${format.amount(total)} tokens, over ${format.span((end - begin) / 1000)}`;
    const drawing = svg("svg", { viewBox: "0 0 1000 72", preserveAspectRatio: "none", role: "img", "aria-label": `${told}. Keys lead from turn to turn.` });
    drawing.append(
      svg("path", { class: "lane-model", d: lane(2, timed.map((each) => [each.began, each.took])) }),
      svg("path", { class: "lane-tools", d: lane(20, timed.filter((each) => each.tool).map((each) => [each.began + each.took, each.tool])) }),
      svg("path", { class: "lane-tokens", d: `M0 70${rising}`, "vector-effect": "non-scaling-stroke" }),
    );
    drawing.addEventListener("click", (event) => {
      const box = drawing.getBoundingClientRect();
      const at = begin + ((event.clientX - box.left) / box.width) * (end - begin);
      const nearest = shown.reduce((best, each, index) => (each.began !== null && each.began <= at ? index : best), 0);
      inTurn(() => go(nearest, { open: true }));
    });
    const figure = section.querySelector(".timeline");
    find("timeline").append(drawing);
    figure.querySelector("figcaption").append(
      el("span", { class: "key-model" }, "model"), " ", el("span", { class: "key-tools" }, "tools"), " ", el("span", { class: "key-tokens" }, "tokens so far"), ` · ${told}. A click leads to the turn.`);
    figure.hidden = false;
  }

  timeline();
  await inTurn(() => choose(view.conversations.length > 1 ? String(view.main) : kinds.length ? "1" : ""));
  if (location.hash) await inTurn(followLink);
  section.dataset.ready = "yes";
})().catch(trajgen.fail);
