import assert from "node:assert/strict";
import test from "node:test";
import { shout } from "../src/shout.js";

test("text comes back in capitals", () => {
  assert.deepEqual(shout({ text: " straße " }), { text: "STRASSE" });
});

test("white space alone is refused as a value", () => {
  assert.throws(() => shout({ text: " " }), { code: "invalid-input" });
});
