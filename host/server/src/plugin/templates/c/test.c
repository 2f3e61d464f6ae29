/* Runs on your own machine: the tool knows nothing of WebAssembly. */
#include <stdio.h>
#include <string.h>

#include "shout.h"

static int failures;

static void expect(const char *what, bool holds) {
  printf("%s: %s\n", holds ? "ok" : "FAILED", what);
  failures += !holds;
}

static bool is(text_t text, const char *expected) {
  return text.len == strlen(expected) && !memcmp(text.bytes, expected, text.len);
}

int main(void) {
  text_t text, louder;
  expect("text comes back in capitals", shout(text_of(" hey "), &louder) && is(louder, "HEY"));
  expect("white space alone is refused", !shout(text_of(" "), &louder));

  text_t json = text_of("{ \"a\": [{\"text\": \"}\\\"\"}, 1], \"text\": \"\\u00e9\\ud83d\\ude00\\n\\\"x\" }");
  expect("a string is found among other values", json_get_text(json, "text", &text));
  expect("its escapes are read", is(text, "\xC3\xA9\xF0\x9F\x98\x80\n\"x"));
  expect("and written", is(json_of_text("text", text), "{\"text\":\"\xC3\xA9\xF0\x9F\x98\x80\\u000a\\\"x\"}"));
  expect("what is not there is not found", !json_get_text(text_of("{\"text\":1}"), "text", &text));
  return failures > 0;
}
