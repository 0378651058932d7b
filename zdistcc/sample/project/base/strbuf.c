#include "toolbox/base.h"
#include "toolbox/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reserve(strbuf *s, size_t more)
{
    size_t needed = s->length + more + 1;
    if (needed <= s->capacity)
        return;
    size_t capacity = s->capacity ? s->capacity : 32;
    while (capacity < needed)
        capacity += capacity / 2;
    char *data = realloc(s->data, capacity);
    if (data == NULL)
        abort();
    s->data = data;
    s->capacity = capacity;
}

void strbuf_put(strbuf *s, const void *bytes, size_t length)
{
    reserve(s, length);
    if (length > 0)
        memcpy(s->data + s->length, bytes, length);
    s->length += length;
    s->data[s->length] = '\0';
}

void strbuf_puts(strbuf *s, const char *text)
{
    strbuf_put(s, text, strlen(text));
}

void strbuf_printf(strbuf *s, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length > 0) {
        reserve(s, (size_t)length);
        vsnprintf(s->data + s->length, (size_t)length + 1, format, again);
        s->length += (size_t)length;
    }
    va_end(again);
}

void strbuf_free(strbuf *s)
{
    free(s->data);
    s->data = NULL;
    s->length = s->capacity = 0;
}

void check_strbuf(void)
{
    strbuf s = STRBUF_EMPTY;
    strbuf_puts(&s, "");
    CHECK(s.length == 0 && s.data[0] == '\0');
    for (char c = 'a'; c <= 'z'; c++)
        strbuf_putc(&s, c);
    CHECK(strcmp(s.data, "abcdefghijklmnopqrstuvwxyz") == 0);
    strbuf_printf(&s, "-%05d-%s-%.2f", 42, "text", 1.005 * 2);
    CHECK(strcmp(s.data + 26, "-00042-text-2.01") == 0);
    strbuf_put(&s, "\0\1\2", 3);
    CHECK(s.length == 26 + 16 + 3);
    for (int i = 0; i < 1000; i++)
        strbuf_printf(&s, "%d,", i);
    CHECK(s.length == 45 + 10 * 2 + 90 * 3 + 900 * 4);
    CHECK(s.length < s.capacity);
    CHECK(strcmp(s.data + s.length - 8, "998,999,") == 0);
    strbuf_free(&s);
    CHECK(s.data == NULL);
}
