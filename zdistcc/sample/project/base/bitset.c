#include "toolbox/base.h"
#include "toolbox/check.h"

#include <stdlib.h>

static size_t word_count(size_t bits)
{
    return (bits + BITSET_WORD_BITS - 1) / BITSET_WORD_BITS;
}

static unsigned population(uint64_t x)
{
#if defined(__GNUC__)
    return (unsigned)__builtin_popcountll(x);
#else
    unsigned count = 0;
    for (; x != 0; x &= x - 1)
        count++;
    return count;
#endif
}

static unsigned lowest(uint64_t x)
{
    unsigned at = 0;
    while ((x & 1) == 0) {
        x >>= 1;
        at++;
    }
    return at;
}

int bitset_init(bitset *b, size_t bits)
{
    b->bits = bits;
    b->words = calloc(word_count(bits) + 1, sizeof *b->words);
    return b->words != NULL;
}

size_t bitset_count(const bitset *b)
{
    size_t count = 0;
    for (size_t i = 0; i < word_count(b->bits); i++)
        count += population(b->words[i]);
    return count;
}

size_t bitset_next(const bitset *b, size_t from)
{
    if (from >= b->bits)
        return b->bits;
    size_t at = from / BITSET_WORD_BITS;
    uint64_t word = b->words[at] >> (from % BITSET_WORD_BITS) << (from % BITSET_WORD_BITS);
    while (word == 0) {
        if (++at >= word_count(b->bits))
            return b->bits;
        word = b->words[at];
    }
    return at * BITSET_WORD_BITS + lowest(word);
}

void bitset_and(bitset *b, const bitset *other)
{
    for (size_t i = 0; i < word_count(b->bits); i++)
        b->words[i] &= i < word_count(other->bits) ? other->words[i] : 0;
}

void bitset_free(bitset *b)
{
    free(b->words);
    b->words = NULL;
    b->bits = 0;
}

static void sieve_multiples(bitset *b, size_t step)
{
    for (size_t bit = 0; bit < b->bits; bit += step)
        bitset_set(b, bit);
}

void check_bitset(void)
{
    bitset threes, fives;
    if (!CHECK(bitset_init(&threes, 1000)))
        return;
    if (!CHECK(bitset_init(&fives, 1000))) {
        bitset_free(&threes);
        return;
    }
    sieve_multiples(&threes, 3);
    sieve_multiples(&fives, 5);
    CHECK(bitset_count(&threes) == 334);
    CHECK(bitset_count(&fives) == 200);
    bitset_and(&threes, &fives);
    CHECK(bitset_count(&threes) == 67);
    size_t expected = 0;
    for (size_t bit = bitset_next(&threes, 0); bit < threes.bits; bit = bitset_next(&threes, bit + 1)) {
        CHECK(bit == expected);
        expected += 15;
    }
    CHECK(bitset_test(&threes, 990));
    bitset_clear(&threes, 990);
    CHECK(!bitset_test(&threes, 990));
    CHECK(bitset_next(&threes, 976) == threes.bits);
    bitset_free(&threes);
    bitset_free(&fives);
}
