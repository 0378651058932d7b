#include "toolbox/check.h"
#include "toolbox/text.h"

#include <string.h>

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t\n");
}

void wrap_text(strbuf *out, const char *text, size_t columns)
{
    size_t used = 0;
    for (text = skip_blanks(text); *text != '\0'; text = skip_blanks(text)) {
        size_t length = strcspn(text, " \t\n");
        strbuf word = STRBUF_EMPTY;
        strbuf_put(&word, text, length);
        size_t width = utf8_columns(word.data);
        if (used > 0 && used + 1 + width > columns) {
            strbuf_putc(out, '\n');
            used = 0;
        }
        if (used > 0) {
            strbuf_putc(out, ' ');
            used++;
        }
        strbuf_put(out, word.data, word.length);
        used += width;
        text += length;
        strbuf_free(&word);
    }
    strbuf_putc(out, '\n');
}

void justify_line(strbuf *out, const char *line, size_t columns)
{
    size_t width = utf8_columns(line), gaps = 0;
    for (const char *at = line; *at != '\0'; at++)
        gaps += *at == ' ';
    size_t missing = width < columns ? columns - width : 0;
    for (; *line != '\0'; line++) {
        strbuf_putc(out, *line);
        if (*line == ' ') {
            /* Spread evenly: what does not divide goes to the later gaps. */
            size_t share = missing / gaps;
            missing -= share;
            gaps--;
            while (share-- > 0)
                strbuf_putc(out, ' ');
        }
    }
}

void check_wrap(void)
{
    static const char text[] =
        "A compiler is a program that reads a program\n and writes\tanother, which does the same "
        "but is understood by fewer people.";
    for (size_t columns = 12; columns < 60; columns++) {
        strbuf out = STRBUF_EMPTY;
        wrap_text(&out, text, columns);
        size_t longest = 0;
        for (const char *line = out.data; *line != '\0';) {
            size_t length = strcspn(line, "\n");
            longest = length > longest ? length : longest;
            line += length + 1;
        }
        CHECK(longest <= columns);
        CHECK(out.length == strlen(text));
        strbuf_free(&out);
    }
    strbuf out = STRBUF_EMPTY;
    wrap_text(&out, "  incomprehensibilities are long ", 8);
    CHECK(strcmp(out.data, "incomprehensibilities\nare long\n") == 0);
    strbuf_free(&out);
    justify_line(&out, "two gaps here", 16);
    CHECK(strcmp(out.data, "two  gaps   here") == 0);
    strbuf_free(&out);
    justify_line(&out, "single", 10);
    CHECK(strcmp(out.data, "single") == 0);
    strbuf_free(&out);
}
