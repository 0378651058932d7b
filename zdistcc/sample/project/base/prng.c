#include "toolbox/base.h"
#include "toolbox/check.h"

/* Two words of state, mixed by shifts, exclusive or and an addition; seeded by a counter that is scrambled. */

static uint64_t scramble(uint64_t *counter)
{
    uint64_t x = (*counter += UINT64_C(0x9e3779b97f4a7c15));
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

void prng_seed(prng *p, uint64_t seed)
{
    p->state[0] = scramble(&seed);
    p->state[1] = scramble(&seed);
    if ((p->state[0] | p->state[1]) == 0)
        p->state[0] = 1;
}

uint64_t prng_next(prng *p)
{
    uint64_t x = p->state[0];
    const uint64_t y = p->state[1];
    p->state[0] = y;
    x ^= x << 23;
    p->state[1] = x ^ y ^ (x >> 17) ^ (y >> 26);
    return p->state[1] + y;
}

uint32_t prng_below(prng *p, uint32_t limit)
{
    /* Reject the uneven rest at the top, or small numbers would be likelier. */
    const uint32_t reject = (uint32_t)-limit % limit;
    uint32_t x;
    do
        x = (uint32_t)(prng_next(p) >> 32);
    while (x < reject);
    return x % limit;
}

double prng_unit(prng *p)
{
    return (double)(prng_next(p) >> 11) * 0x1p-53;
}

void check_prng(void)
{
    prng one, same, other;
    prng_seed(&one, 1);
    prng_seed(&same, 1);
    prng_seed(&other, 2);
    unsigned differ = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t x = prng_next(&one);
        CHECK(x == prng_next(&same));
        differ += x != prng_next(&other);
    }
    CHECK(differ == 100);
    unsigned counts[6] = {0};
    for (int i = 0; i < 60000; i++)
        counts[prng_below(&one, 6)]++;
    for (int i = 0; i < 6; i++)
        CHECK(counts[i] > 9600 && counts[i] < 10400);
    double sum = 0;
    for (int i = 0; i < 10000; i++) {
        double x = prng_unit(&one);
        if (x < 0 || x >= 1)
            CHECK(!"outside the unit interval");
        sum += x;
    }
    CHECK(sum > 4850 && sum < 5150);
}
