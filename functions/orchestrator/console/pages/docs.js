/** The API's description, from openapi.json: what each operation takes and answers, and a way to send it. */

import { describe as describeError } from "../api.js";
import { element, fill } from "../ui/dom.js";
import { row } from "../ui/table.js";

const METHODS = ["get", "post", "put", "delete"];

/** Text in which `backquotes` mean code. @param {string} [text] */
const prose = (text = "") => text.split("`").map((part, at) => (at % 2 === 1 ? element("code", {}, part) : part));

/** @param {import("../api.js").Api} api @returns {import("../main.js").Page} */
export function docsPage(api) {
  const body = element("div", { class: "docs" }, element("h1", {}, "API"), element("p", { class: "note" }, "Loading the description…"));
  return {
    title: "API",
    body,
    isWide: true,
    shown: async () => {
      try {
        fill(body, ...new Description(await api.get("/openapi.json"), api).elements());
        if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
      } catch (error) {
        fill(body, element("h1", {}, "API"), element("p", {}, describeError(error)));
      }
    },
  };
}

class Description {
  /** @param {any} document @param {import("../api.js").Api} api */
  constructor(document, api) {
    this.document = document;
    this.api = api;
  }

  elements() {
    const { info, tags, paths } = this.document;
    const operations = Object.entries(paths).flatMap(([path, item]) =>
      METHODS.filter((method) => item[method]).map((method) => ({ path, method, operation: item[method] })));
    const of = (/** @type {any} */ tag) => operations.filter(({ operation }) => operation.tags.includes(tag.name));
    const contents = element("nav", { class: "docs-contents", "aria-label": "Operations" },
      ...tags.flatMap((/** @type {any} */ tag) => [
        element("p", { class: "group" }, tag.name),
        ...of(tag).map(({ path, operation }) => element("a", { href: `#${operation.operationId}` }, operation.summary ?? path)),
      ]));
    const key = element("input", { id: "docs-key", type: "password", autocomplete: "off", spellcheck: "false" });
    key.addEventListener("input", () => (this.api.key = key.value || undefined));
    return [
      contents,
      element("div", {},
        element("h1", {}, "API"),
        element("p", {}, ...prose(`${info.description} Version ${info.version}.`)),
        element("p", {}, element("a", { href: "/api/v1/openapi.json" }, "openapi.json")),
        this.api.key === undefined && element("p", {}, element("label", { for: "docs-key" }, "API key, for “Send”"), " ", key, " ", element("a", { href: "/" }, "Sign in")),
        ...tags.flatMap((/** @type {any} */ tag) => of(tag).map((one) => this.#operation(one.path, one.method, one.operation)))),
    ];
  }

  /** @param {any} schema */
  #follow(schema) {
    return schema?.$ref ? this.document.components.schemas[schema.$ref.split("/").pop()] : (schema ?? {});
  }

  /** @param {any} schema @returns {string} */
  #type(schema) {
    if (schema.$ref) return this.#follow(schema).type === "object" ? schema.$ref.split("/").pop() : this.#type(this.#follow(schema));
    const options = schema.oneOf ?? schema.anyOf;
    if (options) return options.map((/** @type {any} */ one) => this.#type(one)).join(" or ");
    if (schema.enum) return schema.enum.map((/** @type {any} */ value) => JSON.stringify(value)).join(" | ");
    const types = [schema.type ?? "any"].flat().map((type) => {
      if (type === "array") return `array of ${this.#type(schema.items ?? {})}`;
      if (type === "object" && schema.additionalProperties) return `map to ${this.#type(schema.additionalProperties)}`;
      return schema.format && type !== "null" ? `${type} (${schema.format})` : type;
    });
    return types.join(" or ");
  }

  /** A value of the shape that a schema describes, for people to edit. @param {any} schema @returns {any} */
  #example(schema, depth = 0) {
    const { example, enum: values, oneOf, anyOf, type, properties, items } = this.#follow(schema);
    if (example !== undefined) return example;
    if (values) return values[0];
    const options = oneOf ?? anyOf;
    if (options) return this.#example(options.find((/** @type {any} */ one) => one.type !== "null"), depth);
    const kind = [type].flat().find((one) => one !== "null");
    if (kind === "object" && properties && depth < 4) {
      return Object.fromEntries(Object.entries(properties).map(([name, property]) => [name, this.#example(property, depth + 1)]));
    }
    if (kind === "array") return depth < 4 && items ? [this.#example(items, depth + 1)] : [];
    return { string: "", integer: 0, number: 0, boolean: false, object: {} }[/** @type {string} */ (kind)] ?? null;
  }

  /** The least that a request must hold. @param {any} schema */
  #least(schema) {
    const { properties = {}, required = [] } = this.#follow(schema);
    return Object.fromEntries(required.map((/** @type {string} */ name) => [name, this.#example(properties[name])]));
  }

  /** @param {any} schema */
  #fields(schema) {
    const { properties, required = [] } = this.#follow(schema);
    if (!properties) return undefined;
    return grid(["Field", "Type", "Meaning"], Object.entries(properties).map(([name, property]) => [
      named(name, required.includes(name)), [this.#type(property)], prose(property.description ?? this.#follow(property).description)]));
  }

  /** @param {string} path @param {string} method @param {any} operation */
  #operation(path, method, operation) {
    const json = (/** @type {any} */ body) => body?.content?.["application/json"]?.schema;
    const responses = /** @type {[string, any][]} */ (Object.entries(operation.responses));
    const answered = json(responses.find(([status]) => status.startsWith("2"))?.[1]);
    const taken = json(operation.requestBody);
    return element("section", { class: "operation", id: operation.operationId },
      element("h2", { class: "path" }, element("span", { class: "method" }, method.toUpperCase()), " ", path),
      element("p", {}, element("strong", {}, ...prose(operation.summary)), ". ", ...prose(operation.description)),
      taken && this.#fields(taken),
      this.#form(path, method, operation, taken),
      element("details", {}, element("summary", {}, "Answers"),
        grid(["Status", "Meaning", "Body"], responses.map(([status, response]) => [
          [element("code", {}, status)], prose(response.description), json(response) ? [this.#type(json(response))] : []])),
        answered && this.#fields(this.#follow(answered).items ?? answered)));
  }

  /** @param {string} path @param {string} method @param {any} operation @param {any} schema */
  #form(path, method, operation, schema) {
    const inputs = (operation.parameters ?? []).map((/** @type {any} */ parameter) => {
      const field = element("input", { "aria-label": parameter.name, placeholder: parameter.schema?.example ?? "" });
      return { parameter, field };
    });
    const body = schema && element("textarea", { rows: 5, "aria-label": "Body", spellcheck: "false" });
    if (body) body.value = JSON.stringify(this.#least(schema), null, 2);
    const answer = element("pre", { class: "answer", hidden: true, tabindex: 0, "aria-label": "Answer" });
    const made = element("form", { novalidate: true },
      inputs.length > 0 && grid(["Parameter", "Type", "Meaning", "Value"], inputs.map((/** @type {any} */ { parameter, field }) => [
        named(parameter.name, parameter.required), [this.#type(parameter.schema ?? {})], prose(parameter.description), [field]])),
      body, element("div", { class: "buttons" }, element("button", { type: "submit" }, "Send")), answer);
    made.addEventListener("submit", async (event) => {
      event.preventDefault();
      let target = path;
      const query = new URLSearchParams();
      /** @type {Record<string, string>} */
      const headers = {};
      for (const { parameter, field } of inputs) {
        if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(field.value));
        else if (field.value !== "" && parameter.in === "query") query.set(parameter.name, field.value);
        else if (field.value !== "") headers[parameter.name] = field.value;
      }
      if (this.api.key) headers["X-API-Key"] = this.api.key;
      if (body) headers["Content-Type"] = "application/json";
      answer.hidden = false;
      answer.textContent = "…";
      try {
        const response = await fetch(query.size > 0 ? `${target}?${query}` : target, { method: method.toUpperCase(), headers, body: body?.value });
        answer.textContent = `${response.status} ${response.statusText}\n${indented(await response.text())}`;
      } catch (error) {
        answer.textContent = `The request could not be sent: ${describeError(error)}`;
      }
    });
    return made;
  }
}

/** JSON with line breaks; any other text as it is. @param {string} text */
function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** @typedef {import("../ui/dom.js").Child[]} Cell */

/** @param {string[]} heads @param {Cell[][]} rows */
const grid = (heads, rows) =>
  element("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": heads.join(", ") },
    element("table", { class: "fields", role: "table" },
      element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...heads.map((head) => element("th", { role: "columnheader", scope: "col" }, head)))),
      element("tbody", { role: "rowgroup" }, ...rows.map((cells) => row(cells)))));

/** @param {string} name @param {boolean} required @returns {Cell} */
const named = (name, required) => [element("code", {}, name), !required && element("span", { class: "hint" }, " optional")];
