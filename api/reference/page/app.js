// The page of /docs: reads /openapi.json, shows its calls, and sends requests. Text of the document and of answers only ever becomes text nodes.

const verbs = ["get", "post", "put", "patch", "delete"];
const linesType = "application/x-ndjson";
// An answer may be endless, so no more of it is shown.
const shownCharacters = 200_000;

const byId = (id) => document.getElementById(id);

// make returns an element with properties and children; children that are not elements become text.
function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// breakable lets a path go on in the next line at its slashes.
function breakable(path) {
  return path.split("/").slice(1).flatMap((part) => [make("wbr"), `/${part}`]).slice(1);
}

class Page {
  constructor(api) {
    this.api = api;
    this.calls = [];
  }

  resolve(schema) {
    let depth = 0;
    while (schema?.$ref && depth++ < 8) {
      schema = schema.$ref.slice(2).split("/").reduce((at, part) => at?.[part], this.api);
    }
    return schema ?? {};
  }

  typeOf(schema) {
    if (schema.$ref) return schema.$ref.split("/").at(-1);
    if (schema.type === "array") return `list of ${this.typeOf(schema.items ?? {})}`;
    if (schema.additionalProperties?.type || schema.additionalProperties?.$ref) return `map to ${this.typeOf(schema.additionalProperties)}`;
    return [schema.type].flat().join(" or ") + (schema.format ? ` (${schema.format})` : "");
  }

  // schema lists the fields of a message. Those of messages within are made when they are opened: messages may contain themselves.
  schema(schema) {
    const whole = this.resolve(schema);
    const list = make("dl");
    for (const [name, field] of Object.entries(whole.properties ?? {})) {
      const about = make("dd", {}, field.description ? make("p", {}, field.description) : null);
      const within = field.items ?? (typeof field.additionalProperties === "object" ? field.additionalProperties : field);
      const inner = this.resolve(within);
      if (inner.properties) about.append(this.fold(this.typeOf(within), () => this.schema(within)));
      else if (inner.enum) about.append(make("p", {}, `One of ${inner.enum.join(", ")}.`));
      list.append(make("dt", {}, name, make("span", {}, ` ${this.typeOf(field)}`)), about);
    }
    return list;
  }

  fold(title, content) {
    const details = make("details", { className: "schema" }, make("summary", {}, title));
    details.addEventListener("toggle", () => details.append(content()), { once: true });
    return details;
  }

  // call shows one call; its inside is made when it is opened.
  call(path, verb, operation) {
    const id = operation.operationId;
    const details = make("details", { className: "call", id },
      make("summary", {},
        make("span", { className: `verb ${verb}` }, verb.toUpperCase()),
        make("span", { className: "path" }, path),
        make("span", { className: "title" }, operation.summary ?? "")));
    details.addEventListener("toggle", () => {
      if (details.open) history.replaceState(null, "", `#${id}`);
      if (details.open && details.childElementCount === 1) details.append(this.inside(path, verb, operation));
    });
    const words = `${verb} ${path} ${operation.summary ?? ""} ${operation.description ?? ""} ${id}`.toLowerCase();
    const item = make("li", {}, make("a", { href: `#${id}`, title: operation.summary ?? id },
      make("span", { className: `verb ${verb}` }, verb.toUpperCase()), " ", ...breakable(path.replace(/^\/v1/, ""))));
    this.calls.push({ details, item, words });
    return { details, item };
  }

  inside(path, verb, operation) {
    const form = make("form", { className: "inside" });
    if (operation.description) form.append(make("p", {}, operation.description));

    const inputs = [];
    const fields = make("div", { className: "fields" });
    for (const parameter of operation.parameters ?? []) {
      const schema = this.resolve(parameter.schema);
      const values = schema.type === "boolean" ? ["true", "false"] : schema.enum;
      const id = `${operation.operationId}.${parameter.name}`;
      const input = values
        ? make("select", { id }, make("option", { value: "" }, ""), ...values.map((value) => make("option", { value }, value)))
        : make("input", { id, autocomplete: "off", spellcheck: false });
      input.required = parameter.required ?? false;
      if (schema.type === "array") input.placeholder = "values with commas between";
      inputs.push({ parameter, schema, input });
      fields.append(make("div", { className: "field" },
        make("label", { htmlFor: id, className: parameter.required ? "must" : "" }, parameter.name),
        input,
        parameter.description ? make("small", {}, parameter.description) : null));
    }
    if (inputs.length) form.append(make("section", {}, make("h3", {}, "Parameters"), fields));

    let body = null;
    const [type, content] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
    if (type) {
      const example = content.example ?? {};
      body = make("textarea", { spellcheck: false, ariaLabel: "Body", value: typeof example === "string" ? example : JSON.stringify(example, null, 2) });
      body.rows = Math.min(20, body.value.split("\n").length + 1);
      form.append(make("section", {}, make("h3", {}, "Body"), body, this.fold("Fields of the body", () => this.schema(content.schema))));
    }

    const answers = operation.responses?.["200"]?.content ?? {};
    const schema = answers["application/json"]?.schema;
    if (schema) {
      form.append(make("section", {}, make("h3", {}, "Answer"), this.fold("Fields of the answer", () => this.schema(schema))));
    }

    const send = make("button", { type: "submit" }, "Send");
    const stop = make("button", { type: "button", className: "plain", hidden: true }, "Stop");
    const curl = make("button", { type: "button", className: "plain" }, "As curl");
    const status = make("span", { className: "status", role: "status" });
    const answer = make("pre", { hidden: true, tabIndex: 0 });
    form.append(make("div", { className: "send" }, send, curl, stop, status), answer);

    const request = () => this.request(path, verb, inputs, body, type, linesType in answers);
    curl.addEventListener("click", () => {
      status.textContent = "";
      this.show(answer, this.curl(request()));
    });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const control = new AbortController();
      const abort = () => control.abort();
      stop.addEventListener("click", abort);
      send.disabled = true;
      stop.hidden = false;
      try {
        await this.send(request(), control.signal, status, answer);
      } finally {
        send.disabled = false;
        stop.hidden = true;
        stop.removeEventListener("click", abort);
      }
    });
    return form;
  }

  // request returns what fetch and curl need.
  request(path, verb, inputs, body, type, lines) {
    const query = new URLSearchParams();
    for (const { parameter, schema, input } of inputs) {
      const value = input.value;
      if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, encodeURIComponent(value));
      else if (value === "") continue;
      else if (schema.type === "array") for (const one of value.split(",")) query.append(parameter.name, one.trim());
      else query.append(parameter.name, value);
    }
    const headers = {};
    const key = byId("key").value.trim();
    if (key) headers.Authorization = `Bearer ${key}`;
    if (lines) headers.Accept = linesType;
    if (body?.value) headers["Content-Type"] = type;
    const url = path + (query.size ? `?${query}` : "");
    return { url, method: verb.toUpperCase(), headers, body: body?.value || undefined };
  }

  curl({ url, method, headers, body }) {
    const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
    const parts = ["curl"];
    if (method !== "GET") parts.push("-X", method);
    for (const [name, value] of Object.entries(headers)) {
      parts.push("-H", name === "Authorization" ? '"Authorization: Bearer $KITH_API_KEY"' : quote(`${name}: ${value}`));
    }
    if (body) parts.push("--data-binary", quote(body));
    parts.push(quote(location.origin + url));
    return parts.join(" ");
  }

  show(answer, text) {
    answer.hidden = false;
    answer.textContent = text;
  }

  async send({ url, ...options }, signal, status, answer) {
    const began = performance.now();
    status.className = "status";
    status.textContent = "…";
    answer.hidden = true;
    try {
      const response = await fetch(url, { ...options, signal, credentials: "same-origin", cache: "no-store" });
      const lines = response.headers.get("Content-Type")?.startsWith(linesType) ?? false;
      const said = `${response.status}  request ${response.headers.get("X-Request-Id") ?? "?"}`;
      if (!response.ok) status.classList.add("bad");
      status.textContent = said;
      let text = "";
      let cut = false;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        text += value;
        if (text.length > shownCharacters) {
          cut = true;
          await reader.cancel();
          break;
        }
        if (lines) this.show(answer, text);
      }
      this.show(answer, (lines || cut ? text : pretty(text)) + (cut ? "\n… there is more" : ""));
      status.textContent = `${said}  ${Math.round(performance.now() - began)} ms`;
    } catch (err) {
      status.classList.add("bad");
      status.textContent = signal.aborted ? "stopped" : `no answer: ${err.message}`;
    }
  }

  draw() {
    byId("about").textContent = `${this.api.info.summary ?? ""} ${this.api.info.description ?? ""}`;
    const calls = byId("calls");
    calls.replaceChildren();
    for (const tag of this.api.tags ?? []) {
      const section = make("section", {}, make("h2", {}, tag.name), make("p", {}, tag.description ?? ""));
      const items = make("ul");
      for (const [path, operations] of Object.entries(this.api.paths)) {
        for (const verb of verbs) {
          const operation = operations[verb];
          if (!operation?.tags?.includes(tag.name)) continue;
          const { details, item } = this.call(path, verb, operation);
          section.append(details);
          items.append(item);
        }
      }
      calls.append(section);
      byId("index").append(make("section", {}, make("h2", {}, tag.name), items));
    }
    byId("find").addEventListener("input", (event) => this.filter(event.target.value));
    addEventListener("hashchange", () => this.open());
    this.open();
  }

  filter(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    for (const call of this.calls) {
      call.details.hidden = call.item.hidden = !words.every((word) => call.words.includes(word));
    }
    for (const section of document.querySelectorAll("#calls > section, #index > section")) {
      section.hidden = !section.querySelector("details.call:not([hidden]), li:not([hidden])");
    }
  }

  // open opens the call that the address names.
  open() {
    const details = byId(decodeURIComponent(location.hash.slice(1)));
    if (!details?.classList.contains("call")) return;
    details.open = true;
    details.scrollIntoView();
  }
}

function pretty(text) {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  // Not by JSON.stringify, which would change numbers that JavaScript cannot hold.
  let out = "";
  let depth = 0;
  let quoted = false;
  const line = () => `\n${"  ".repeat(depth)}`;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) {
      out += c;
      if (c === "\\") out += text[++i];
      else if (c === '"') quoted = false;
    } else if (c === '"') {
      quoted = true;
      out += c;
    } else if ((c === "{" || c === "[") && (text[i + 1] === "}" || text[i + 1] === "]")) out += c + text[++i];
    else if (c === "{" || c === "[") {
      depth++;
      out += c + line();
    } else if (c === "}" || c === "]") {
      depth--;
      out += line() + c;
    } else if (c === ",") out += c + line();
    else if (c === ":") out += ": ";
    else if (!/\s/.test(c)) out += c;
  }
  return out;
}

try {
  const response = await fetch("/openapi.json");
  if (!response.ok) throw new Error(`status ${response.status}`);
  new Page(await response.json()).draw();
} catch (err) {
  byId("calls").replaceChildren(make("p", { className: "status bad" }, `The description cannot be read: ${err.message}`));
}
