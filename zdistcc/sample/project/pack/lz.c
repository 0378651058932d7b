#include "round_trip.h"

/* Back references of 3..66 bytes, up to 4096 bytes back: a flag byte says of eight items which are references. */

enum { WINDOW = 4096, MATCH_MIN = 3, MATCH_MAX = 66, BUCKETS = 1 << 12 };

static unsigned bucket_of(const unsigned char *bytes)
{
    return ((unsigned)bytes[0] << 8 ^ (unsigned)bytes[1] << 4 ^ bytes[2]) * 2654435761u >> 20;
}

static size_t match_length(const unsigned char *a, const unsigned char *b, size_t limit)
{
    size_t length = 0;
    while (length < limit && a[length] == b[length])
        length++;
    return length;
}

void lz_pack(strbuf *out, const void *data, size_t length)
{
    const unsigned char *bytes = data;
    size_t latest[BUCKETS];
    for (size_t i = 0; i < BUCKETS; i++)
        latest[i] = SIZE_MAX;
    size_t flag_at = 0;
    unsigned item = 0;
    for (size_t at = 0; at < length; item++) {
        if (item % 8 == 0) {
            flag_at = out->length;
            strbuf_putc(out, 0);
        }
        size_t left = length - at, run = 0, back = 0;
        if (left >= MATCH_MIN) {
            size_t *slot = &latest[bucket_of(bytes + at)];
            if (*slot != SIZE_MAX && at - *slot <= WINDOW) {
                back = at - *slot;
                run = match_length(bytes + at, bytes + *slot, left < MATCH_MAX ? left : MATCH_MAX);
            }
            *slot = at;
        }
        if (run >= MATCH_MIN) {
            /* twelve bits of distance, six of length would be 18: the length gets a byte */
            out->data[flag_at] = (char)(out->data[flag_at] | 1 << item % 8);
            strbuf_putc(out, (char)((back - 1) & 0xff));
            strbuf_putc(out, (char)((back - 1) >> 8));
            strbuf_putc(out, (char)(run - MATCH_MIN));
            at += run;
        } else {
            strbuf_putc(out, (char)bytes[at++]);
        }
    }
}

int lz_unpack(strbuf *out, const void *data, size_t length)
{
    const unsigned char *at = data, *end = length ? at + length : at;
    const size_t start = out->length;
    while (at < end) {
        unsigned flags = *at++;
        for (unsigned item = 0; item < 8 && at < end; item++) {
            if ((flags >> item & 1) == 0) {
                strbuf_putc(out, (char)*at++);
                continue;
            }
            if (end - at < 3)
                return 0;
            size_t back = (size_t)(at[0] | at[1] << 8) + 1, run = (size_t)at[2] + MATCH_MIN;
            if (back > out->length - start)
                return 0;
            while (run-- > 0)
                strbuf_putc(out, out->data[out->length - back]);
            at += 3;
        }
    }
    return 1;
}

void check_lz(void)
{
    round_trips(lz_pack, lz_unpack);
    strbuf text = STRBUF_EMPTY;
    for (int i = 0; i < 300; i++)
        strbuf_printf(&text, "static int function_%d(void) { return %d; }\n", i, i * i);
    CHECK(round_trip(lz_pack, lz_unpack, text.data, text.length) < text.length / 2);
    strbuf_free(&text);
    strbuf out = STRBUF_EMPTY;
    CHECK(!lz_unpack(&out, "\1\5\0\0", 4));
    strbuf_free(&out);
}
