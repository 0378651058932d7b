/* What every packer must survive; private to this directory. */
#ifndef PACK_ROUND_TRIP_H
#define PACK_ROUND_TRIP_H

#include <string.h>

#include "../include/toolbox/check.h"
#include "../include/toolbox/pack.h"

typedef void (*packer)(strbuf *out, const void *data, size_t length);
typedef int (*unpacker)(strbuf *out, const void *data, size_t length);

/* Returns the packed size. */
static inline size_t round_trip(packer pack, unpacker unpack, const void *data, size_t length)
{
    strbuf packed = STRBUF_EMPTY, back = STRBUF_EMPTY;
    pack(&packed, data, length);
    CHECK(unpack(&back, packed.data, packed.length));
    CHECK(back.length == length);
    CHECK(length == 0 || memcmp(back.data, data, length) == 0);
    size_t size = packed.length;
    /* Cut short it may be refused or give less, but nothing may be read that is not there. */
    for (size_t cut = 0; cut < packed.length; cut += packed.length / 7 + 1) {
        strbuf part = STRBUF_EMPTY;
        (void)unpack(&part, packed.data, cut);
        strbuf_free(&part);
    }
    strbuf_free(&packed);
    strbuf_free(&back);
    return size;
}

static inline void round_trips(packer pack, unpacker unpack)
{
    unsigned char noise[1000];
    prng p;
    prng_seed(&p, 6);
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (unsigned char)prng_next(&p);
    static const size_t sizes[] = {0, 1, 2, 3, 127, 128, 129, 255, 256, 257, 1000};
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++)
        round_trip(pack, unpack, noise, sizes[i]);
    memset(noise, 'x', sizeof noise);
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++)
        round_trip(pack, unpack, noise, sizes[i]);
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (unsigned char)(i / 3 % 5);
    round_trip(pack, unpack, noise, sizeof noise);
}

#endif
