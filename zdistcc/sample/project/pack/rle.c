#include "round_trip.h"

/* A byte n below 128 is followed by n + 1 bytes as they are; n from 128 by one byte that comes n - 125 times. */

enum { LITERAL_MAX = 128, RUN_MIN = 3, RUN_MAX = 130 };

static size_t run_length(const unsigned char *bytes, size_t left)
{
    size_t run = 1;
    while (run < left && run < RUN_MAX && bytes[run] == bytes[0])
        run++;
    return run;
}

static void put_literals(strbuf *out, const unsigned char *bytes, size_t count)
{
    while (count > 0) {
        size_t here = count < LITERAL_MAX ? count : LITERAL_MAX;
        strbuf_putc(out, (char)(here - 1));
        strbuf_put(out, bytes, here);
        bytes += here;
        count -= here;
    }
}

void rle_pack(strbuf *out, const void *data, size_t length)
{
    const unsigned char *bytes = data;
    size_t at = 0, pending = 0;
    while (at < length) {
        size_t run = run_length(bytes + at, length - at);
        if (run < RUN_MIN) {
            at += run;
            continue;
        }
        put_literals(out, bytes + pending, at - pending);
        strbuf_putc(out, (char)(unsigned char)(run + 125));
        strbuf_putc(out, (char)bytes[at]);
        at += run;
        pending = at;
    }
    put_literals(out, bytes + pending, at - pending);
}

int rle_unpack(strbuf *out, const void *data, size_t length)
{
    const unsigned char *at = data, *end = length ? at + length : at;
    while (at < end) {
        unsigned n = *at++;
        if (n < 128) {
            if ((size_t)(end - at) < n + 1)
                return 0;
            strbuf_put(out, at, n + 1);
            at += n + 1;
        } else {
            if (at == end)
                return 0;
            for (unsigned i = 0; i < n - 125; i++)
                strbuf_putc(out, (char)*at);
            at++;
        }
    }
    return 1;
}

void check_rle(void)
{
    round_trips(rle_pack, rle_unpack);
    char same[1300];
    memset(same, '-', sizeof same);
    CHECK(round_trip(rle_pack, rle_unpack, same, sizeof same) == 20);
    CHECK(round_trip(rle_pack, rle_unpack, "abcaabbcc", 9) == 10);
}
