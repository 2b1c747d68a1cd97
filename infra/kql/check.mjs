// Reads queries, {name: text}, and prints what Microsoft's language service finds wrong in each: {name: [message]}.
// The language service knows the columns of the tables, in tables.json.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
require("@kusto/language-service-next/bridge.min.js");
require("@kusto/language-service-next/Kusto.Language.Bridge.min.js");
const { GlobalState, KustoCode, Symbols } = globalThis.Kusto.Language;

const { tables } = JSON.parse(readFileSync(new URL("tables.json", import.meta.url), "utf8"));
const symbols = Object.entries(tables).map(([name, columns]) => {
  const schema = Object.entries(columns).map(([column, type]) => `${column}: ${type}`);
  return Symbols.TableSymbol.From(`(${schema.join(", ")})`).WithName(name);
});
const database = new Symbols.DatabaseSymbol.$ctor3("workspace", null, symbols, false);
const globals = GlobalState.Default.WithDatabase(database);

const found = {};
for (const [name, text] of Object.entries(JSON.parse(readFileSync(0, "utf8")))) {
  const diagnostics = KustoCode.ParseAndAnalyze(text, globals).GetDiagnostics();
  found[name] = [];
  for (let index = 0; index < diagnostics.Count; index++) {
    const each = diagnostics.getItem(index);
    found[name].push(`${each.Severity}: ${each.Message} At: ${text.slice(each.Start, each.Start + each.Length)}`);
  }
}
process.stdout.write(JSON.stringify(found));
