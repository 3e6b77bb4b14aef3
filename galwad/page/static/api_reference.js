// The description of the API as a page: what /api/v1/openapi.json has, by tag. Its texts are in
// English; the headings around them are in the page's language.

import { el } from "./dom.js";
import * as i18n from "./i18n.js";

const DOCUMENT = "/api/v1/openapi.json";
const main = document.getElementById("main");

/** Elements with a text of the document: paragraphs, with `code` between backticks. */
function prose(text = "") {
  return text
    .split(/\n\s*\n/)
    .filter((paragraph) => paragraph.trim())
    .map((paragraph) => {
      const parts = paragraph.split("`");
      const nodes = parts.map((part, i) => el(i % 2 ? "code" : "span", { raw: part }));
      return el("p", { lang: "en" }, ...nodes);
    });
}

/** What a value must be: a link for a named body, words for the others. */
function kind(schema) {
  if (!schema) return [];
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return [el("a", { href: `#body-${name}`, raw: name })];
  }
  const many = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  if (many) {
    const parts = many.map(kind);
    return parts.flatMap((part, i) => (i ? [el("span", { raw: " | " }), ...part] : part));
  }
  if (schema.type === "array") {
    return [el("span", { raw: "array of " }), ...kind(schema.items ?? {})];
  }
  const values = schema.enum ?? (schema.const === undefined ? null : [schema.const]);
  if (values) return [el("code", { raw: values.map((value) => JSON.stringify(value)).join(", ") })];
  return [el("span", { raw: [schema.type ?? "any", ...limits(schema)].join(", ") })];
}

function limits(schema) {
  const shown = {
    minimum: "≥ ",
    maximum: "≤ ",
    exclusiveMinimum: "> ",
    exclusiveMaximum: "< ",
    minLength: "length ≥ ",
    maxLength: "length ≤ ",
    default: "default ",
  };
  return Object.entries(shown)
    .filter(([name]) => schema[name] !== undefined && schema[name] !== null)
    .map(([name, sign]) => sign + JSON.stringify(schema[name]));
}

/** One row of a list of fields, parameters or answers. */
function fact(name, required, schema, ...text) {
  return el(
    "div",
    {},
    el("dt", {}, el("code", { raw: name })),
    el(
      "dd",
      {},
      el(
        "div",
        { class: "kind", lang: "en" },
        ...kind(schema),
        required ? el("span", { raw: ", " }) : null,
        required ? el("span", { t: "api.required", lang: i18n.language() }) : null,
      ),
      ...text,
    ),
  );
}

function part(title, ...children) {
  return el("div", {}, el("h3", { t: title }), ...children);
}

function example(value) {
  return value === undefined
    ? []
    : [el("p", { t: "api.example" }), el("pre", { lang: "en", raw: typeof value === "string" ? value : JSON.stringify(value, null, 2) })];
}

function parameters(operation) {
  const given = operation.parameters ?? [];
  if (!given.length) return null;
  const rows = given.map((one) =>
    fact(`${one.name} (${one.in})`, one.required, one.schema, ...prose(one.description)),
  );
  return part("api.parameters", el("dl", { class: "facts" }, ...rows));
}

function request(operation) {
  const content = operation.requestBody?.content["application/json"];
  if (!content) return null;
  const named = el("p", { lang: "en" }, ...kind(content.schema));
  return part("api.request", named, ...example(content.example));
}

function answers(operation, shared) {
  const rows = Object.entries(operation.responses).map(([status, given]) => {
    const answer = given.$ref ? shared[given.$ref.split("/").pop()] : given;
    const [type, content] = Object.entries(answer.content ?? {})[0] ?? [];
    const schema = content?.schema ?? (type ? { type } : undefined);
    const text = [...prose(answer.description), ...example(content?.example)];
    return fact(status, false, schema, ...text);
  });
  return part("api.answers", el("dl", { class: "facts" }, ...rows));
}

/** The ways to sign in, one of which a request needs. */
function access(operation) {
  const ways = operation.security ?? [];
  if (!ways.length) return null;
  const items = ways.map((way) => {
    const names = Object.keys(way);
    return names.length
      ? el("li", {}, el("code", { lang: "en", raw: names.join(" + ") }))
      : el("li", { t: "api.anyone" });
  });
  return part("api.access", el("ul", {}, ...items));
}

function operationOf(method, path, operation, shared) {
  const heading = el(
    "summary",
    {},
    el("code", {}, el("span", { class: "method", raw: method.toUpperCase() }), el("span", { raw: path })),
    el("span", { lang: "en", raw: operation.summary ?? "" }),
  );
  const body = el(
    "div",
    { class: "body" },
    ...prose(operation.description),
    access(operation),
    parameters(operation),
    request(operation),
    answers(operation, shared),
    el("p", { class: "note" }, el("code", { raw: operation.operationId })),
  );
  return el("details", { class: "operation", id: operation.operationId }, heading, body);
}

function section(id, title, ...children) {
  return el("section", { class: "card", "aria-labelledby": id }, el("h2", { id, ...title }), ...children);
}

function tagSection(tag, index, description) {
  const operations = [];
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      if (operation.tags.includes(tag.name)) {
        operations.push(operationOf(method, path, operation, description.components.responses));
      }
    }
  }
  const list = el("div", {}, ...operations);
  return section(`tag-${index}`, { raw: tag.name, lang: "en" }, ...prose(tag.description), list);
}

function schemes(all) {
  const rows = Object.entries(all).map(([name, scheme]) => {
    const place = scheme.name ? `${scheme.in}: ${scheme.name}` : `${scheme.type} ${scheme.scheme}`;
    return fact(name, false, { type: place }, ...prose(scheme.description));
  });
  return section("sign-in", { t: "api.access" }, el("dl", { class: "facts" }, ...rows));
}

function bodies(all) {
  const parts = Object.entries(all).map(([name, schema]) => {
    const fields = Object.entries(schema.properties ?? {}).map(([field, given]) =>
      fact(field, schema.required?.includes(field), given, ...prose(given.description)),
    );
    const heading = el("summary", {}, el("code", { raw: name }));
    const body = el(
      "div",
      { class: "body" },
      ...prose(schema.description),
      fields.length ? el("dl", { class: "facts" }, ...fields) : el("p", {}, ...kind(schema)),
    );
    return el("details", { class: "operation", id: `body-${name}` }, heading, body);
  });
  return section("bodies", { t: "api.bodies" }, el("div", {}, ...parts));
}

function draw(description) {
  const tags = description.tags ?? [];
  const links = tags.map((tag, i) =>
    el("li", {}, el("a", { href: `#tag-${i}`, lang: "en", raw: tag.name })),
  );
  const contents = el("nav", { "data-t-label": "api.contents" });
  contents.append(
    el(
      "ul",
      { class: "contents" },
      ...links,
      el("li", {}, el("a", { href: "#bodies", t: "api.bodies" })),
    ),
  );
  const intro = el(
    "section",
    { class: "card", "aria-labelledby": "title" },
    el("h1", { id: "title", t: "api.title" }),
    ...prose(description.info.description),
    el("p", {}, el("a", { href: DOCUMENT, download: "galwad-openapi.json", t: "api.download" })),
    contents,
  );
  main.replaceChildren(
    intro,
    schemes(description.components.securitySchemes),
    ...tags.map((tag, i) => tagSection(tag, i, description)),
    bodies(description.components.schemas),
  );
}

/** Open what the address names, and go there. */
function follow() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named?.tagName === "DETAILS") named.open = true;
  named?.scrollIntoView();
}

async function choose(language) {
  await i18n.use(language);
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
  }
}

async function begin() {
  for (const button of document.querySelectorAll("[data-language]")) {
    button.addEventListener("click", () => {
      i18n.remember(button.dataset.language);
      choose(button.dataset.language);
    });
  }
  await choose(i18n.preferred());
  const response = await fetch(DOCUMENT);
  if (!response.ok) {
    main.replaceChildren(el("p", { role: "alert", t: "api.unavailable" }));
    return;
  }
  draw(await response.json());
  i18n.translate(document.body);
  window.addEventListener("hashchange", follow);
  follow();
}

begin();
