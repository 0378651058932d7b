#include "toolbox/check.h"
#include "toolbox/hash.h"

#include <string.h>

static const uint32_t table[256] = {
#include "crc32_table.inc"
};

_Static_assert(ARRAY_LENGTH(table) == 256, "one entry for each byte");

uint32_t crc32(uint32_t so_far, const void *data, size_t length)
{
    const uint8_t *bytes = data;
    uint32_t crc = ~so_far;
    while (length-- > 0)
        crc = table[(crc ^ *bytes++) & 0xff] ^ crc >> 8;
    return ~crc;
}

static uint32_t bit_by_bit(const void *data, size_t length)
{
    const uint8_t *bytes = data;
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

void check_crc32(void)
{
    static const char text[] = "The five boxing wizards jump quickly.";
    CHECK(crc32(0, "", 0) == 0);
    CHECK(crc32(0, "123456789", 9) == 0xcbf43926u);
    for (size_t split = 0; split < sizeof text; split++) {
        uint32_t whole = crc32(0, text, sizeof text);
        CHECK(crc32(crc32(0, text, split), text + split, sizeof text - split) == whole);
    }
    uint8_t all[256];
    for (unsigned i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    CHECK(crc32(0, all, sizeof all) == bit_by_bit(all, sizeof all));
    all[17] ^= 4;
    CHECK(crc32(0, all, sizeof all) == bit_by_bit(all, sizeof all));
    CHECK(crc32(0, text, strlen(text)) != crc32(0, text, strlen(text) - 1));
}
