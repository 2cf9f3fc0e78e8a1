// Shows openapi.json: what each operation takes and answers, and a way to send it.

const METHODS = ["get", "post", "put", "delete"];

/** An element with attributes and children; strings become text, never markup. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.flat().filter((child) => child !== undefined));
  return made;
}

/** Text in which `backquotes` mean code. */
const prose = (text = "") => text.split("`").map((part, at) => (at % 2 === 1 ? element("code", {}, part) : part));

const byId = (id) => document.getElementById(id);

function main(api) {
  const follow = (schema) =>
    schema?.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : (schema ?? {});

  function typeOf(schema) {
    if (schema.$ref) return follow(schema).type === "object" ? schema.$ref.split("/").pop() : typeOf(follow(schema));
    const options = schema.oneOf ?? schema.anyOf;
    if (options) return options.map(typeOf).join(" or ");
    if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
    const types = [schema.type ?? "any"].flat().map((type) => {
      if (type === "array") return `array of ${typeOf(schema.items ?? {})}`;
      if (type === "object" && schema.additionalProperties) return `map to ${typeOf(schema.additionalProperties)}`;
      return schema.format && type !== "null" ? `${type} (${schema.format})` : type;
    });
    return types.join(" or ");
  }

  /** A value of the shape that a schema describes, for people to edit. */
  function example(schema, depth = 0) {
    schema = follow(schema);
    if (schema.example !== undefined) return schema.example;
    if (schema.enum) return schema.enum[0];
    const options = schema.oneOf ?? schema.anyOf;
    if (options) return example(options.find((option) => option.type !== "null"), depth);
    const type = [schema.type].flat().find((type) => type !== "null");
    if (type === "object" && schema.properties && depth < 4) {
      const entries = Object.entries(schema.properties);
      return Object.fromEntries(entries.map(([name, property]) => [name, example(property, depth + 1)]));
    }
    if (type === "array") return depth < 4 && schema.items ? [example(schema.items, depth + 1)] : [];
    return { string: "", integer: 0, number: 0, boolean: false, object: {} }[type] ?? null;
  }

  /** The least that a request must hold. */
  function least(schema) {
    const { properties = {}, required = [] } = follow(schema);
    return Object.fromEntries(required.map((name) => [name, example(properties[name])]));
  }

  const table = (heads, rows) =>
    element("table", {},
      element("thead", {}, element("tr", {}, heads.map((head) => element("th", { scope: "col" }, head)))),
      element("tbody", {}, rows.map((row) => element("tr", {}, row.map((cell) => element("td", {}, cell))))));

  const named = (name, required) => [element("code", {}, name), required ? "" : element("span", { class: "faint" }, " optional")];

  function fields(schema) {
    const { properties, required = [] } = follow(schema);
    if (!properties) return undefined;
    const rows = Object.entries(properties).map(([name, property]) => [
      named(name, required.includes(name)), typeOf(property), prose(property.description ?? follow(property).description),
    ]);
    return table(["Field", "Type", ""], rows);
  }

  function form(path, method, operation) {
    const inputs = (operation.parameters ?? []).map((parameter) => {
      const input = element("input", { "aria-label": parameter.name, placeholder: parameter.schema?.example ?? "" });
      return { parameter, input };
    });
    const schema = operation.requestBody?.content["application/json"].schema;
    const body = schema && element("textarea", { rows: 5, "aria-label": "Body", spellcheck: "false" });
    if (body) body.value = JSON.stringify(least(schema), null, 2);
    const answer = element("pre", { hidden: "", "aria-live": "polite" });
    const send = element("button", { type: "submit" }, "Send");
    const made = element("form", {},
      inputs.length > 0 ? table(["Parameter", "Type", "", "Value"], inputs.map(({ parameter, input }) => [
        named(parameter.name, parameter.required), typeOf(parameter.schema ?? {}), prose(parameter.description), input])) : undefined,
      body, send, answer);
    made.addEventListener("submit", async (event) => {
      event.preventDefault();
      let target = path;
      const query = new URLSearchParams();
      const headers = {};
      for (const { parameter, input } of inputs) {
        if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
        else if (input.value !== "" && parameter.in === "query") query.set(parameter.name, input.value);
        else if (input.value !== "") headers[parameter.name] = input.value;
      }
      if (byId("key").value !== "") headers["X-API-Key"] = byId("key").value;
      if (body) headers["Content-Type"] = "application/json";
      answer.hidden = false;
      answer.textContent = "…";
      try {
        const asked = query.size > 0 ? `${target}?${query}` : target;
        const response = await fetch(asked, { method: method.toUpperCase(), headers, body: body?.value });
        const text = await response.text();
        let shown = text;
        try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: as it is */ }
        answer.textContent = `${response.status} ${response.statusText}\n${shown}`;
      } catch (error) {
        answer.textContent = `The request could not be sent: ${error.message}`;
      }
    });
    return made;
  }

  function describe(path, method, operation) {
    const responses = Object.entries(operation.responses).map(([status, response]) => {
      const schema = response.content?.["application/json"]?.schema;
      return [element("code", {}, status), prose(response.description), schema ? typeOf(schema) : ""];
    });
    const succeeds = Object.entries(operation.responses).find(([status]) => status.startsWith("2"));
    const answered = succeeds?.[1].content?.["application/json"]?.schema;
    const taken = operation.requestBody?.content["application/json"].schema;
    return element("section", { id: operation.operationId },
      element("h2", { class: "path" }, element("span", { class: "method" }, method.toUpperCase()), path),
      element("p", {}, element("strong", {}, prose(operation.summary)), ". ", prose(operation.description)),
      taken ? [element("h3", {}, "Body"), fields(taken)] : [],
      form(path, method, operation),
      element("details", {}, element("summary", {}, "Answers"),
        table(["Status", "", "Body"], responses),
        answered ? fields(follow(answered).items ?? answered) : undefined));
  }

  byId("about").append(...prose(`${api.info.description} Version ${api.info.version}.`));
  const operations = Object.entries(api.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => ({ path, method, operation: item[method] })));
  byId("operations").replaceChildren();
  for (const tag of api.tags) {
    byId("contents").append(element("h2", {}, tag.name));
    for (const { path, method, operation } of operations.filter(({ operation }) => operation.tags.includes(tag.name))) {
      byId("contents").append(element("a", { href: `#${operation.operationId}` }, operation.summary ?? path));
      byId("operations").append(describe(path, method, operation));
    }
  }
  if (location.hash) byId(location.hash.slice(1))?.scrollIntoView();
}

try {
  main(await (await fetch("openapi.json")).json());
} catch (error) {
  byId("operations").textContent = `openapi.json could not be read: ${error.message}`;
}
