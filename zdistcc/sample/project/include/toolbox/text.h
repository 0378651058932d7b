/* Text as people read it. */
#ifndef TOOLBOX_TEXT_H
#define TOOLBOX_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base.h"

TOOLBOX_BEGIN

#define UTF8_INVALID UINT32_MAX

/* Decode one code point and advance; UTF8_INVALID advances by one byte. */
uint32_t utf8_next(const char **text, const char *end);
size_t utf8_encode(uint32_t code, char out[4]);
/* Columns on a terminal, roughly: wide East Asian characters take two, combining marks none. */
size_t utf8_columns(const char *text);

/* Break at blanks so that no line has more columns than said; a longer word gets its own line. */
void wrap_text(strbuf *out, const char *text, size_t columns);
/* Pad the last lines so that both edges are straight. */
void justify_line(strbuf *out, const char *line, size_t columns);

/* Shell patterns: * ? [a-z] [!a-z] and backslash. */
int glob_match(const char *pattern, const char *text);

size_t edit_distance(const char *one, const char *other);
/* The nearest of the candidates, or NULL if none is within the limit. */
const char *nearest_word(const char *word, const char *const *candidates, size_t count, size_t limit);

TOOLBOX_END

#endif
