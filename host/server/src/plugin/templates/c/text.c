#include "text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Every call has an instance of its own, whose memory ends with it: nothing here is ever freed. */
static char *allocate(size_t len) {
  char *bytes = malloc(len ? len : 1);
  if (!bytes) abort();
  return bytes;
}

text_t text_of(const char *string) {
  text_t copy = {allocate(strlen(string)), strlen(string)};
  memcpy(copy.bytes, string, copy.len);
  return copy;
}

/* Where reading is, and where it ends. */
typedef struct {
  const char *at;
  const char *end;
} cursor_t;

static bool take(cursor_t *cursor, char expected) {
  while (cursor->at < cursor->end && strchr(" \t\r\n", *cursor->at)) cursor->at++;
  if (cursor->at == cursor->end || *cursor->at != expected) return false;
  cursor->at++;
  return true;
}

static uint32_t read_hex4(cursor_t *cursor) {
  uint32_t unit = 0;
  for (int digit = 0; digit < 4 && cursor->at < cursor->end; digit++) {
    char c = *cursor->at++;
    unit = unit * 16 + (uint32_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
  }
  return unit;
}

static char *write_utf8(char *to, uint32_t point) {
  if (point < 0x80) {
    *to++ = (char)point;
    return to;
  }
  int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
  static const unsigned char first[] = {0, 0xC0, 0xE0, 0xF0};
  *to++ = (char)(first[more] | point >> (6 * more));
  while (more--) *to++ = (char)(0x80 | (point >> (6 * more) & 0x3F));
  return to;
}

static char *read_escape(cursor_t *cursor, char *to) {
  if (cursor->at == cursor->end) return to;
  char c = *cursor->at++;
  static const char escapes[] = "b\bf\fn\nr\rt\t";
  if (c == 'u') {
    uint32_t point = read_hex4(cursor);
    bool pair = point >= 0xD800 && point < 0xDC00 && cursor->end - cursor->at >= 6 && cursor->at[1] == 'u';
    if (pair) {
      cursor->at += 2;
      point = 0x10000 + ((point - 0xD800) << 10) + ((read_hex4(cursor) - 0xDC00) & 0x3FF);
    } else if (point >= 0xD800 && point < 0xE000) {
      point = 0xFFFD; /* Half a pair is no character. */
    }
    return write_utf8(to, point);
  }
  const char *escape = strchr(escapes, c);
  *to++ = escape ? escape[1] : c;
  return to;
}

/* Reads a string; it is never longer than its JSON text. */
static bool read_string(cursor_t *cursor, text_t *value) {
  if (!take(cursor, '"')) return false;
  char *to = value->bytes = allocate((size_t)(cursor->end - cursor->at));
  while (cursor->at < cursor->end && *cursor->at != '"') {
    char c = *cursor->at++;
    if (c == '\\') {
      to = read_escape(cursor, to);
    } else {
      *to++ = c;
    }
  }
  value->len = (size_t)(to - value->bytes);
  return take(cursor, '"');
}

/* Goes to the comma or the bracket that ends a value. */
static void skip_value(cursor_t *cursor) {
  int depth = 0;
  for (; cursor->at < cursor->end; cursor->at++) {
    char c = *cursor->at;
    if (depth == 0 && (c == ',' || c == '}')) return;
    if (c == '{' || c == '[') depth++;
    if (c == '}' || c == ']') depth--;
    if (c != '"') continue;
    for (cursor->at++; cursor->at < cursor->end && *cursor->at != '"'; cursor->at++) {
      if (*cursor->at == '\\') cursor->at++;
    }
  }
}

bool json_get_text(text_t json, const char *name, text_t *value) {
  cursor_t cursor = {json.bytes, json.bytes + json.len};
  if (!take(&cursor, '{')) return false;
  do {
    text_t key;
    if (!read_string(&cursor, &key) || !take(&cursor, ':')) return false;
    if (key.len == strlen(name) && !memcmp(key.bytes, name, key.len)) return read_string(&cursor, value);
    skip_value(&cursor);
  } while (take(&cursor, ','));
  return false;
}

static char *write_string(char *to, const char *bytes, size_t len) {
  static const char hex[] = "0123456789abcdef";
  *to++ = '"';
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)bytes[i];
    if (c < 0x20) {
      memcpy(to, "\\u00", 4);
      to[4] = hex[c >> 4];
      to[5] = hex[c & 15];
      to += 6;
      continue;
    }
    if (c == '"' || c == '\\') *to++ = '\\';
    *to++ = (char)c;
  }
  *to++ = '"';
  return to;
}

text_t json_of_text(const char *name, text_t value) {
  /* A byte takes at most six, as `\u00..`; quotes, colon and braces are the rest. */
  char *bytes = allocate(6 * (strlen(name) + value.len) + 7), *to = bytes;
  *to++ = '{';
  to = write_string(to, name, strlen(name));
  *to++ = ':';
  to = write_string(to, value.bytes, value.len);
  *to++ = '}';
  return (text_t){bytes, (size_t)(to - bytes)};
}
