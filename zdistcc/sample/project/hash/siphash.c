#include "toolbox/check.h"
#include "toolbox/hash.h"

/* SipHash-2-4 of Aumasson and Bernstein: a keyed hash that is short and safe for hash tables. */

static uint64_t load64(const uint8_t *bytes)
{
    uint64_t x = 0;
    for (int i = 7; i >= 0; i--)
        x = x << 8 | bytes[i];
    return x;
}

static void rounds(uint64_t v[4], int count)
{
    while (count-- > 0) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotate_left64(v[1], 13) ^ v[0];
        v[3] = rotate_left64(v[3], 16) ^ v[2];
        v[0] = rotate_left64(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotate_left64(v[1], 17) ^ v[2];
        v[3] = rotate_left64(v[3], 21) ^ v[0];
        v[2] = rotate_left64(v[2], 32);
    }
}

uint64_t siphash24(const uint8_t key[16], const void *data, size_t length)
{
    const uint8_t *bytes = data;
    const uint64_t k0 = load64(key), k1 = load64(key + 8);
    uint64_t v[4] = {
        k0 ^ UINT64_C(0x736f6d6570736575),
        k1 ^ UINT64_C(0x646f72616e646f6d),
        k0 ^ UINT64_C(0x6c7967656e657261),
        k1 ^ UINT64_C(0x7465646279746573),
    };
    size_t left = length;
    for (; left >= 8; left -= 8, bytes += 8) {
        uint64_t word = load64(bytes);
        v[3] ^= word;
        rounds(v, 2);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)(length & 0xff) << 56;
    for (size_t i = 0; i < left; i++)
        last |= (uint64_t)bytes[i] << (8 * i);
    v[3] ^= last;
    rounds(v, 2);
    v[0] ^= last;
    v[2] ^= 0xff;
    rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void check_siphash(void)
{
    uint8_t key[16], message[64];
    for (uint8_t i = 0; i < 16; i++)
        key[i] = i;
    for (uint8_t i = 0; i < 64; i++)
        message[i] = i;
    CHECK(siphash24(key, message, 0) == UINT64_C(0x726fdb47dd0e0e31));
    CHECK(siphash24(key, message, 15) == UINT64_C(0xa129ca6149be45e5));
    for (size_t length = 1; length < 64; length++)
        CHECK(siphash24(key, message, length) != siphash24(key, message, length - 1));
    uint64_t before = siphash24(key, message, 20);
    key[3] ^= 1;
    CHECK(siphash24(key, message, 20) != before);
}
