#include "toolbox/check.h"
#include "toolbox/text.h"

#include <string.h>

typedef struct range {
    uint32_t first, last;
} range;

static const range wide[] = {
    {0x1100, 0x115f}, {0x2e80, 0x303e}, {0x3041, 0x33ff}, {0x3400, 0x4dbf}, {0x4e00, 0x9fff},
    {0xac00, 0xd7a3}, {0xf900, 0xfaff}, {0xfe30, 0xfe6f}, {0xff00, 0xff60}, {0x1f300, 0x1f64f},
};
static const range combining[] = {{0x0300, 0x036f}, {0x1ab0, 0x1aff}, {0x20d0, 0x20ff}, {0xfe20, 0xfe2f}};

static int within(const range *ranges, size_t count, uint32_t code)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (code > ranges[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && code >= ranges[low].first;
}

uint32_t utf8_next(const char **text, const char *end)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *at = (const unsigned char *)*text;
    unsigned char lead = *at;
    size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
    *text += 1;
    if (length <= 1)
        return length ? lead : UTF8_INVALID;
    if ((size_t)(end - (const char *)at) < length)
        return UTF8_INVALID;
    uint32_t code = lead & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (at[i] >> 6 != 2)
            return UTF8_INVALID;
        code = code << 6 | (at[i] & 0x3f);
    }
    if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return UTF8_INVALID;
    *text += length - 1;
    return code;
}

size_t utf8_encode(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    out[0] = (char)((0xf00 >> length & 0xf0) | code);
    return length;
}

size_t utf8_columns(const char *text)
{
    const char *end = text + strlen(text);
    size_t columns = 0;
    while (text < end) {
        uint32_t code = utf8_next(&text, end);
        if (code == UTF8_INVALID || !within(combining, ARRAY_LENGTH(combining), code))
            columns += code != UTF8_INVALID && within(wide, ARRAY_LENGTH(wide), code) ? 2 : 1;
    }
    return columns;
}

void check_utf8(void)
{
    unsigned wrong = 0;
    for (uint32_t code = 1; code < 0x110000; code += code < 0x3000 ? 1 : 97) {
        if (code >= 0xd800 && code < 0xe000)
            continue;
        char bytes[4];
        const char *at = bytes;
        size_t length = utf8_encode(code, bytes);
        wrong += utf8_next(&at, bytes + length) != code || at != bytes + length;
    }
    CHECK(wrong == 0);
    static const char *const bad[] = {"\x80", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"};
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        const char *at = bad[i];
        CHECK(utf8_next(&at, bad[i] + strlen(bad[i])) == UTF8_INVALID);
        CHECK(at == bad[i] + 1);
    }
    CHECK(utf8_columns("plain") == 5);
    CHECK(utf8_columns("na\xc3\xafve") == 5);
    CHECK(utf8_columns("e\xcc\x81") == 1);
    CHECK(utf8_columns("\xe6\xbc\xa2\xe5\xad\x97") == 4);
}
