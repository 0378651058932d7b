#include "toolbox/check.h"
#include "toolbox/pack.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(strbuf *out, const void *data, size_t length)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < length; i += 3) {
        size_t here = length - i < 3 ? length - i : 3;
        unsigned group = (unsigned)bytes[i] << 16;
        if (here > 1)
            group |= (unsigned)bytes[i + 1] << 8;
        if (here > 2)
            group |= bytes[i + 2];
        strbuf_putc(out, alphabet[group >> 18]);
        strbuf_putc(out, alphabet[group >> 12 & 63]);
        strbuf_putc(out, here > 1 ? alphabet[group >> 6 & 63] : '=');
        strbuf_putc(out, here > 2 ? alphabet[group & 63] : '=');
    }
}

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_decode(strbuf *out, const char *text, size_t length)
{
    const size_t before = out->length;
    if (length % 4 != 0)
        return 0;
    for (size_t i = 0; i < length; i += 4) {
        int last = i + 4 == length;
        int padding = last && text[i + 3] == '=' ? (text[i + 2] == '=' ? 2 : 1) : 0;
        unsigned group = 0;
        for (size_t j = 0; j < 4; j++) {
            int value = (int)j >= 4 - padding ? 0 : digit(text[i + j]);
            if (value < 0) {
                out->length = before;
                return 0;
            }
            group = group << 6 | (unsigned)value;
        }
        for (int j = 0; j < 3 - padding; j++)
            strbuf_putc(out, (char)(group >> (16 - 8 * j) & 0xff));
    }
    return 1;
}

void check_base64(void)
{
    static const char *const pairs[][2] = {
        {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(pairs); i++) {
        strbuf text = STRBUF_EMPTY, back = STRBUF_EMPTY;
        strbuf_puts(&text, "");
        base64_encode(&text, pairs[i][0], strlen(pairs[i][0]));
        CHECK(strcmp(text.data, pairs[i][1]) == 0);
        CHECK(base64_decode(&back, text.data, text.length));
        CHECK(back.length == strlen(pairs[i][0]));
        CHECK(back.length == 0 || memcmp(back.data, pairs[i][0], back.length) == 0);
        strbuf_free(&text);
        strbuf_free(&back);
    }
    static const char *const bad[] = {"Zg=", "Zg==Zg==", "Z===", "Zm9*", "===="};
    strbuf out = STRBUF_EMPTY;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        CHECK(!base64_decode(&out, bad[i], strlen(bad[i])));
        CHECK(out.length == 0);
    }
    strbuf_free(&out);
}
