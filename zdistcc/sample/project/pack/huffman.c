#include "round_trip.h"

/*
 * Canonical codes: the length of every symbol's code (one byte each of 256) says it all; then the count of
 * symbols in four bytes, then the bits, highest first.
 */

enum { SYMBOLS = 256, CODE_MAX = 32 };

typedef struct node {
    uint64_t weight;
    int parent;
} node;

static int lightest(const node *nodes, int count, int besides)
{
    int best = -1;
    for (int i = 0; i < count; i++)
        if (nodes[i].weight > 0 && nodes[i].parent < 0 && i != besides)
            if (best < 0 || nodes[i].weight < nodes[best].weight)
                best = i;
    return best;
}

static void code_lengths(const unsigned char *bytes, size_t length, unsigned char lengths[SYMBOLS])
{
    node nodes[2 * SYMBOLS];
    int count = SYMBOLS;
    for (int i = 0; i < 2 * SYMBOLS; i++) {
        nodes[i].weight = 0;
        nodes[i].parent = -1;
    }
    for (size_t i = 0; i < length; i++)
        nodes[bytes[i]].weight++;
    for (;;) {
        int one = lightest(nodes, count, -1), other = lightest(nodes, count, one);
        if (other < 0)
            break;
        nodes[count].weight = nodes[one].weight + nodes[other].weight;
        nodes[one].parent = nodes[other].parent = count++;
    }
    for (int i = 0; i < SYMBOLS; i++) {
        int depth = 0;
        for (int at = i; nodes[at].parent >= 0; at = nodes[at].parent)
            depth++;
        lengths[i] = (unsigned char)(nodes[i].weight > 0 && depth == 0 ? 1 : depth);
    }
}

/* Codes in order of length, then of symbol. Returns 0 if the lengths make no code. */
static int assign_codes(const unsigned char lengths[SYMBOLS], uint32_t codes[SYMBOLS])
{
    uint64_t code = 0;
    for (unsigned length = 1; length <= CODE_MAX; length++) {
        code <<= 1;
        for (int i = 0; i < SYMBOLS; i++)
            if (lengths[i] == length)
                codes[i] = (uint32_t)code++;
        if (code > UINT64_C(1) << length)
            return 0;
    }
    return 1;
}

void huffman_pack(strbuf *out, const void *data, size_t length)
{
    const unsigned char *bytes = data;
    unsigned char lengths[SYMBOLS];
    uint32_t codes[SYMBOLS] = {0};
    code_lengths(bytes, length, lengths);
    assign_codes(lengths, codes);
    strbuf_put(out, lengths, sizeof lengths);
    for (int shift = 0; shift < 32; shift += 8)
        strbuf_putc(out, (char)(length >> shift & 0xff));
    unsigned pending = 0, bits = 0;
    for (size_t i = 0; i < length; i++) {
        for (int bit = lengths[bytes[i]] - 1; bit >= 0; bit--) {
            pending = pending << 1 | (codes[bytes[i]] >> bit & 1);
            if (++bits == 8) {
                strbuf_putc(out, (char)pending);
                pending = bits = 0;
            }
        }
    }
    if (bits > 0)
        strbuf_putc(out, (char)(pending << (8 - bits)));
}

int huffman_unpack(strbuf *out, const void *data, size_t length)
{
    const unsigned char *bytes = data;
    uint32_t codes[SYMBOLS] = {0};
    if (length < SYMBOLS + 4 || !assign_codes(bytes, codes))
        return 0;
    const unsigned char *lengths = bytes;
    size_t left = 0, at = SYMBOLS + 4;
    for (int i = 3; i >= 0; i--)
        left = left << 8 | bytes[SYMBOLS + i];
    uint32_t code = 0;
    unsigned have = 0, bit = 8;
    while (left > 0) {
        if (bit-- == 0) {
            bit = 7;
            at++;
        }
        if (at >= length || ++have > CODE_MAX)
            return 0;
        code = code << 1 | (uint32_t)(bytes[at] >> bit & 1);
        for (int i = 0; i < SYMBOLS; i++) {
            if (lengths[i] == have && codes[i] == code) {
                strbuf_putc(out, (char)i);
                code = have = 0;
                left--;
                break;
            }
        }
    }
    return 1;
}

void check_huffman(void)
{
    round_trips(huffman_pack, huffman_unpack);
    static const char text[] = "she sells sea shells by the sea shore";
    size_t packed = round_trip(huffman_pack, huffman_unpack, text, sizeof text - 1);
    CHECK(packed - SYMBOLS - 4 < (sizeof text - 1) / 2);
}
