/* Checksums and hashes of byte strings. */
#ifndef TOOLBOX_HASH_H
#define TOOLBOX_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "config.h"

TOOLBOX_BEGIN

uint32_t crc32(uint32_t so_far, const void *data, size_t length);

uint64_t siphash24(const uint8_t key[16], const void *data, size_t length);

#define SHA256_BYTES 32

typedef struct sha256 {
    uint32_t state[8];
    uint64_t length;
    uint8_t block[64];
} sha256;

void sha256_init(sha256 *h);
void sha256_update(sha256 *h, const void *data, size_t length);
void sha256_final(sha256 *h, uint8_t digest[SHA256_BYTES]);

static inline uint32_t rotate_right32(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static inline uint64_t rotate_left64(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

TOOLBOX_END

#endif
