// A trajectory's data, and its turns as elements. Texts of models and tools become text nodes and nothing else.
"use strict";

const trajectory = (() => {
  const { el, format, load } = trajgen;
  const TURN = 0, FAILED = 1, UNREADABLE = 2;
  const FLAGS = { error: 1, leak: 2, cut: 4, notTaken: 8 };
  const MARKS = [[FLAGS.error, "error", "✗ error"], [FLAGS.leak, "leak", "⚑ flag"], [FLAGS.cut, "cut", "✂ cut off"], [FLAGS.notTaken, "not-taken", "↷ not taken"]];

  // Opens the data called `name`: figures of all entries at once, their texts when they are asked for.
  async function open(name) {
    const head = await load(`${name}~head`);
    let tokens = 0, cost = null;
    const seen = new Set();
    const entries = head.entries.map(([kind, line, shard, place, conversation, number, began, took, n_in, n_out, usd, tool, flags], index) => {
      if (kind === TURN) { // as the ledger counts: what a failed call took is no result
        tokens += (n_in ?? 0) + (n_out ?? 0);
        if (usd !== null) cost = (cost ?? 0) + usd;
      }
      return { kind, line, shard, place, conversation, number, began, took, n_in, n_out, usd, tool, flags, index, tokens, cost };
    });
    const main = (head.conversations.findIndex((each) => each.kind === "main") + 1) || 1;
    for (const entry of entries) {
      entry.id = entry.kind !== TURN || entry.flags & FLAGS.notTaken ? `l${entry.line}` : `${entry.conversation === main ? "" : `c${entry.conversation}`}t${entry.number}`;
      if (seen.has(entry.id)) entry.id = `l${entry.line}`;
      seen.add(entry.id);
    }
    return {
      name, entries, main, conversations: head.conversations,
      body: async (entry) => (entry.shard ? await load(`${name}~turns-${entry.shard}`) : head.turns)[entry.place],
      raw: async ([shard, place]) => (await load(`${name}~raw-${shard}`))[place],
      whole: async (text) => (typeof text === "string" ? text : text.at === null ? text.start : (await load(`${name}~texts-${text.at[0]}`))[text.at[1]]),
    };
  }

  const start = (text) => (typeof text === "string" ? text : text.start);
  const isEmpty = (text) => text === "";

  function say(status, text) {
    if (status) status.textContent = text;
  }

  async function copy(text, status) {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // a page from disk may have no clipboard: the old way needs none
      const area = el("textarea", { class: "off", "aria-hidden": "true", tabindex: "-1" });
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    say(status, "Copied.");
  }

  const button = (label, action, attributes = {}) => {
    const made = el("button", { type: "button", ...attributes }, label);
    made.addEventListener("click", action);
    return made;
  };

  // A text with its heading: its beginning, and the whole when it is asked for.
  function block(view, heading, text, kind, status) {
    const pre = el("pre", { class: "block", tabindex: "0" }, start(text));
    const bar = el("div", { class: "block-bar" }, el("span", { class: "block-name" }, heading));
    if (typeof text !== "string" && text.at === null) {
      bar.append(el("span", { class: "note" }, `${format.count(text.shown)} of ${format.count(text.length)} characters`));
    } else if (typeof text !== "string") {
      const all = text.shown === text.length ? `all ${format.count(text.length)}` : `${format.count(text.shown)} of ${format.count(text.length)}`;
      const more = button(`Show ${all} characters`, async () => {
        pre.textContent = await view.whole(text);
        more.remove();
      });
      bar.append(more);
    }
    bar.append(button("Copy", async () => copy(await view.whole(text), status), { "aria-label": `Copy: ${heading}` }));
    return el("div", { class: `part ${kind}` }, bar, pre);
  }

  const message = (view, each, status) => block(view, `${each.error ? "✗ " : ""}${each.role === "tool" ? "Observation" : each.role}`, each.text, `observation${each.error ? " has-error" : ""}`, status);

  // What a turn holds, in the order in which it came to be.
  function parts(view, entry, body, status) {
    if (entry.kind === UNREADABLE) return [el("p", { class: "problem" }, `Line ${format.count(entry.line)} cannot be shown: `, start(body.why))];
    if (entry.kind === FAILED) return [block(view, `${body.error}${body.status === null ? "" : ` (${body.status})`}`, body.message ?? "", "failure", status), rawPart(view, body, status)];
    const made = [];
    if (!isEmpty(body.reasoning)) made.push(block(view, "Reasoning", body.reasoning, "reasoning", status));
    if (!isEmpty(body.said)) made.push(block(view, "Text", body.said, "text", status));
    else if (!isEmpty(body.text)) made.push(block(view, "Text", body.text, "text", status));
    body.commands.forEach((each, at) => made.push(block(view, `Command ${at + 1}`, each, "calls", status)));
    for (const call of body.calls) {
      made.push(block(view, `Call: ${start(call.name)}`, call.arguments, "calls", status));
      if (call.result) made.push(message(view, call.result, status));
      else if (entry.isLast === false) made.push(el("p", { class: "note part calls" }, "No result came back."));
    }
    for (const each of body.following) made.push(message(view, each, status));
    if (body.commands.length) made.push(el("details", {}, el("summary", {}, "The answer as it was written"), block(view, "Answer", body.text, "text", status)));
    made.push(details(entry, body), rawPart(view, body, status));
    return made;
  }

  function details(entry, body) {
    const known = [
      ["model", body.model], ["endpoint", body.upstream], ["finished by", body.finish],
      ["first token", body.first_token_ms === null ? null : format.span(body.first_token_ms / 1000)],
      ["cached tokens", body.cached === null ? null : format.count(body.cached)],
      ["reasoning tokens", body.thinking === null ? null : format.count(body.thinking)],
      ["line", format.count(entry.line)],
    ].filter(([, value]) => value !== null && value !== undefined);
    return el("p", { class: "note details" }, known.map(([name, value]) => `${name} ${value}`).join(" · "));
  }

  function rawPart(view, body, status) {
    if (!body.raw) return el("span");
    const place = el("div", { class: "part raw" });
    const show = async () => {
      if (place.dataset.shown) return;
      place.dataset.shown = "yes";
      place.replaceChildren(block(view, "Raw JSON, without what the call before it had", await view.raw(body.raw), "", status));
    };
    place.append(button("Show raw JSON", show));
    place.addEventListener("show-raw", show);
    return place;
  }

  function summary(entry, body) {
    if (entry.kind === UNREADABLE) return "cannot be read";
    if (entry.kind === FAILED) return `failed: ${body.error} ${firstLine(body.message)}`;
    const calls = body.calls.map((each) => `${start(each.name)} ${firstLine(each.arguments)}`);
    const commands = body.commands.map(firstLine);
    return [...calls, ...commands].join(" · ") || firstLine(body.said) || firstLine(body.text) || firstLine(body.reasoning) || "nothing";
  }

  const firstLine = (text) => {
    const line = start(text ?? "").trim().split("\n", 1)[0];
    return line.length > 160 ? `${line.slice(0, 160)}…` : line;
  };

  const marks = (entry) => MARKS.filter(([flag]) => entry.flags & flag).map(([, name, label]) => el("span", { class: `mark ${name}` }, label));

  // One entry, closed. It is filled when it is opened for the first time.
  function article(view, entry, body, { status, name = entry.id, page = location.href.split("#")[0] }) {
    const label = entry.kind === TURN ? `${entry.number}` : `line ${entry.line}`;
    const content = el("div", { class: "body", hidden: true });
    const fold = el("button", { type: "button", class: "fold", "aria-expanded": "false" },
      el("span", { class: "number" }, label), " ", el("span", { class: "summary" }, summary(entry, body)));
    const figures = el("span", { class: "figures" });
    if (entry.kind === TURN) {
      figures.append(
        el("span", { title: "tokens of this call, and of all calls up to it" }, `${format.amount((entry.n_in ?? 0) + (entry.n_out ?? 0))} / ${format.amount(entry.tokens)} tok`),
        entry.cost === null ? "" : el("span", { title: "cost of all calls up to it" }, format.usd(entry.cost)));
    }
    if (entry.took !== null) figures.append(el("span", { title: "time in the model call" }, `model ${format.span(entry.took / 1000)}`));
    if (entry.tool !== null) figures.append(el("span", { title: "time until the next call" }, `tools ${format.span(entry.tool / 1000)}`));
    const kind = ["turn", "failed", "unreadable"][entry.kind];
    const made = el("article", { id: name, class: `turn ${kind}`, tabindex: "-1", "aria-label": `${entry.kind === TURN ? "Turn" : "Entry"} ${label}` },
      el("div", { class: "turn-head" }, el("h3", {}, fold), ...marks(entry), figures), content);
    const open = (isOpen) => {
      if (isOpen && !content.childElementCount) {
        const link = button("Copy link", () => copy(`${page}#${entry.id}`, status), { "aria-label": `Copy link to turn ${label}` });
        content.append(el("div", { class: "block-bar" }, link), ...parts(view, entry, body, status));
      }
      content.hidden = !isOpen;
      fold.setAttribute("aria-expanded", String(isOpen));
    };
    fold.addEventListener("click", () => open(content.hidden));
    made.unfold = open;
    made.isUnfolded = () => !content.hidden;
    made.showRaw = () => content.querySelector(".raw")?.dispatchEvent(new Event("show-raw"));
    return made;
  }

  // All texts of an entry, whole, for the search.
  async function texts(view, entry) {
    const body = await view.body(entry);
    const found = entry.kind === TURN
      ? [body.reasoning, body.text, ...body.commands, ...body.calls.flatMap((each) => [each.name, each.arguments, each.result?.text ?? ""]), ...body.following.map((each) => each.text)]
      : [body.why ?? "", body.error ?? "", body.message ?? ""];
    return Promise.all(found.map(view.whole));
  }

  return { open, article, block, message, texts, copy, say, start, TURN, FAILED, UNREADABLE, FLAGS };
})();
