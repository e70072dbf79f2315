"""The page at `/docs`: the OpenAPI document as a table to read, without any other server.

FastAPI's own page loads its scripts from a foreign one, which a machine without a network does not
reach, and which a page that can call a node should not trust.
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>puna API</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff; }
h1 small { font-weight: normal; color: #666; font-size: 50%; }
details { border: 1px solid #ccc; border-radius: 6px; margin: .5rem 0; padding: .5rem 1rem; }
summary { cursor: pointer; }
summary b { display: inline-block; min-width: 4.5rem; }
code, pre { font: 14px/1.4 ui-monospace, monospace; }
pre { background: #f4f4f4; padding: .75rem; overflow: auto; border-radius: 6px; }
table { border-collapse: collapse; width: 100%; }
td { text-align: left; vertical-align: top; padding: .2rem .6rem .2rem 0; }
tr { border-bottom: 1px solid #eee; }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #1b1b1b; }
  pre { background: #2a2a2a; }
  details { border-color: #444; }
}
</style>
</head>
<body>
<h1>puna API <small id="version"></small></h1>
<p id="about"></p>
<p>The document behind this page: <a href="openapi.json">openapi.json</a>.</p>
<div id="paths"><noscript>This page needs JavaScript; the document above does not.</noscript></div>
<script>
"use strict";
const make = (tag, text, ...inside) => {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  element.append(...inside);
  return element;
};
const typeOf = (field) => {
  if (field.$ref) return field.$ref.split("/").pop();
  if (field.anyOf) return field.anyOf.map(typeOf).filter((each) => each !== "null").join(" or ");
  if (field.type === "array") return "list of " + typeOf(field.items || {});
  return field.type || "any";
};
const tableOf = (schemas, name) => {
  const rows = Object.entries((schemas[name] || {}).properties || {}).map(([key, field]) =>
    make("tr", "", make("td", "", make("code", key)), make("td", typeOf(field)),
      make("td", field.description || "")));
  return make("table", "", ...rows);
};
const nameIn = (content) => {
  const media = Object.values(content || {})[0];
  return media && media.schema && media.schema.$ref ? media.schema.$ref.split("/").pop() : "";
};
const exampleOf = (schema) => {
  const filled = {};
  for (const [key, field] of Object.entries((schema || {}).properties || {}))
    if (field.examples) filled[key] = field.examples[0];
  return JSON.stringify(filled);
};
fetch("openapi.json").then((reply) => reply.json()).then((api) => {
  document.getElementById("version").textContent = api.info.version;
  document.getElementById("about").textContent = api.info.description;
  const schemas = (api.components || {}).schemas || {};
  for (const [path, methods] of Object.entries(api.paths))
    for (const [method, what] of Object.entries(methods)) {
      const asked = nameIn((what.requestBody || {}).content);
      const given = nameIn(((what.responses || {})["200"] || {}).content);
      const box = make("details", "", make("summary", "",
        make("b", method.toUpperCase()), make("code", path), " " + (what.summary || "")));
      const body = asked ? ` -d '${exampleOf(schemas[asked])}'` : "";
      const verb = method === "get" ? "" : ` -X ${method.toUpperCase()}`;
      box.append(make("pre", `curl${verb} ${location.origin}${path}${body}`));
      if (asked) box.append(make("h4", "Takes"), tableOf(schemas, asked));
      if (given) box.append(make("h4", "Gives"), tableOf(schemas, given));
      document.getElementById("paths").append(box);
    }
});
</script>
</body>
</html>
"""
