"use strict";
// All that the API says becomes text nodes: `element` is the only way by which anything gets onto the page.
const base = new URL(location.pathname.replace(/\/docs\/*$/, "/"), location.origin);
const content = document.getElementById("content");
let key = "";

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (attribute === "on") for (const [event, heard] of Object.entries(value)) made.addEventListener(event, heard);
    else if (value !== undefined) made.setAttribute(attribute, value);
  }
  made.append(...children.filter((child) => child !== undefined));
  return made;
}

const headers = (more) => (key ? { ...more, "x-api-key": key } : more);
const number = (value, digits = 6) => value
  .toLocaleString("en-US", { maximumSignificantDigits: digits }).replace("-", "−");

function badge(tone, text) {
  return element("span", { class: `badge ${tone}` }, text);
}

function section(title, note, ...children) {
  return element("section", {}, element("h2", {}, title), element("p", { class: "note" }, note), ...children);
}

function keyField() {
  const input = element("input", {
    type: "password", autocomplete: "off", spellcheck: "false", id: "key",
    on: { input: () => { key = input.value.trim(); }, change: () => { if (!content.dataset.ready) load(); } },
  });
  input.value = key;
  return section(
    "Key", "Sent as x-api-key, and kept in this page's memory alone. `tidemill proxy` adds its own: then leave it empty.",
    element("div", { class: "key-field" }, input),
  );
}

function accepted(field) {
  const facts = field["x-tidemill"], said = [];
  if (facts.role !== "feature") return facts.role === "id" ? "names the row; its answer has it" : "never used to predict";
  if (facts.low !== undefined) said.push(`${number(facts.low)} to ${number(facts.high)} in training`);
  if (field.examples) {
    const shown = field.examples.slice(0, 12).join(", "), more = facts.categories - Math.min(12, field.examples.length);
    said.push(more > 0 ? `${shown} and ${more.toLocaleString("en-US")} more` : shown);
  }
  if (facts.kind === "boolean") said.push("true or false");
  if (facts.kind === "datetime") said.push("a date, as text");
  for (const mark of ["format", "decimal", "thousands", "unit"]) if (facts[mark]) said.push(`${mark} ${facts[mark]}`);
  return said.join("; ");
}

function fields(row) {
  const lines = Object.entries(row.properties).map(([name, field]) => element(
    "tr", {},
    element("td", {}, element("span", { class: "name" }, name)),
    element("td", { "data-is": "kind", class: "short" }, field["x-tidemill"].kind),
    element("td", { "data-is": "required", class: "short" }, row.required.includes(name) ? "yes" : "no"),
    element("td", { title: field.description }, accepted(field)),
  ));
  const titles = ["field", "kind", "required", "takes"].map((title) => element("th", {}, title));
  return element("div", { class: "scroll" }, element(
    "table", { class: "stack" }, element("thead", {}, element("tr", {}, ...titles)), element("tbody", {}, ...lines),
  ));
}

function curl(url, body) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const sent = ["curl", quoted(url), "-H 'content-type: application/json'"];
  if (key) sent.push('-H "x-api-key: $TIDEMILL_KEY"');
  return [...sent, `-d ${quoted(body)}`].join(" \\\n  ");
}

function form(name, request) {
  const url = new URL(`models/${name}/predict`, base).href;
  const body = JSON.stringify(request.examples[0], null, 2);
  const typed = element("textarea", {
    id: `body-${name}`, spellcheck: "false", rows: Math.min(22, body.split("\n").length + 1),
    on: { input: () => { explain.checked = parsed(typed.value)?.explain === true; tell(); } },
  });
  typed.value = body;
  const explain = element("input", { type: "checkbox", id: `explain-${name}`, on: { change: ask } });
  const shell = element("pre", {}, curl(url, body));
  const status = element("span", { role: "status" });
  const answer = element("pre", { hidden: "", id: `answer-${name}` });
  const reasons = element("div", { class: "moved", id: `moved-${name}` });
  const button = element("button", { type: "button", id: `send-${name}`, on: { click: send } }, "Send");

  function tell() {
    shell.textContent = curl(url, typed.value);
  }

  function ask() {
    const { explain: _, ...asked } = parsed(typed.value) ?? {};
    if (parsed(typed.value)) typed.value = JSON.stringify(explain.checked ? { ...asked, explain: true } : asked, null, 2);
    else explain.checked = false;
    tell();
  }

  async function send() {
    button.disabled = true;
    status.replaceChildren("…");
    reasons.replaceChildren();
    tell();
    const begun = performance.now();
    try {
      const reply = await fetch(url, {
        method: "POST", body: typed.value, headers: headers({ "content-type": "application/json" }),
      });
      const text = await reply.text(), taken = Math.round(performance.now() - begun);
      status.replaceChildren(badge(reply.ok ? "pass" : "fail", `${reply.status} · ${taken} ms`));
      answer.textContent = pretty(text);
      reasons.replaceChildren(...(parsed(text)?.predictions ?? []).slice(0, 5).filter((each) => each.explanation).map(moved));
    } catch (error) {
      status.replaceChildren(badge("fail", "no answer"));
      answer.textContent = String(error);
    }
    answer.hidden = false;
    button.disabled = false;
  }

  return [
    element("label", { for: typed.id }, "Try it"), typed,
    element("div", { class: "send" }, button, element("label", {}, explain, "explain"), status), reasons, answer,
    element("details", {}, element("summary", {}, "As a command"), shell),
  ];
}

function parsed(text) {
  try {
    const value = JSON.parse(text);
    return value?.constructor === Object ? value : undefined;
  } catch {
    return undefined;
  }
}

function pretty(text) {
  const value = parsed(text);
  return value ? JSON.stringify(value, null, 2) : text;
}

function moved({ id, explanation }) {
  const { base, contributions, others } = explanation;
  const signed = (value) => `${value > 0 ? "+" : ""}${number(value, 3)}`;
  const total = contributions.reduce((sum, each) => sum + each.contribution, base + others);
  const what = "class" in explanation ? `the probability of ${explanation.class}` : "the prediction";
  const lines = [
    ["usual", "", number(base, 3), ""],
    ...contributions.map(({ field, value, contribution, error }) => [
      element("span", { class: "name" }, field), String(value ?? "missing"), signed(contribution), `± ${number(error, 2)}`,
    ]),
    ["all others", "", signed(others), ""],
    ["here", "", number(total, 3), ""],
  ];
  const cells = (name, texts) => element("tr", {}, ...texts.map((text, at) => element(name, { class: at > 1 ? "r" : "" }, text)));
  return element(
    "details", { open: "" }, element("summary", {}, `What moved ${what} of ${id}`),
    element("div", { class: "scroll" }, element(
      "table", {}, element("thead", {}, cells("th", ["field", "value", "moved it by", "error"])),
      element("tbody", {}, ...lines.map((line) => cells("td", line))),
    )),
  );
}

function show(api) {
  const schemas = api.components.schemas;
  const models = api.tags.map((tag) => tag.name).filter((name) => schemas[`${name}.Request`]);
  const about = new Map(api.tags.map((tag) => [tag.name, tag.description]));
  const links = models.map((name) => element("a", { href: `#${name}` }, name));
  const keyed = api.components.securitySchemes?.apiKey;
  content.dataset.ready = "yes";
  content.replaceChildren(
    element("p", { class: "note" }, api.info.description),
    ...(models.length > 1 ? [element("nav", { class: "models" }, ...links)] : []),
    ...(keyed ? [keyField()] : []),
    ...models.map((name) => {
      const made = section(name, about.get(name), fields(schemas[`${name}.Row`]), ...form(name, schemas[`${name}.Request`]));
      made.id = name;
      return made;
    }),
    ...(models.length ? [] : [section("No model serves yet", "Upload a table and its spec: tidemill upload MODEL FILE.")]),
    element("footer", {}, element("p", {}, "What is sent from here is answered, and captured, as any other call.")),
  );
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

async function load() {
  try {
    const reply = await fetch(new URL("openapi.json", base), { headers: headers({}) });
    if (reply.ok) return show(await reply.json());
    content.replaceChildren(
      section(`${reply.status}`, `openapi.json could not be read: ${pretty(await reply.text())}`), keyField(),
    );
  } catch (error) {
    content.replaceChildren(section("No answer", `openapi.json could not be read: ${error}`));
  }
}

document.getElementById("openapi").href = new URL("openapi.json", base).href;
load();
