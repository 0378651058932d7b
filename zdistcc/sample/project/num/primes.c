#include "toolbox/check.h"
#include "toolbox/num.h"

size_t primes_below(uint32_t limit, uint32_t *found, size_t room)
{
    bitset composite;
    size_t count = 0;
    if (limit < 3 || !bitset_init(&composite, limit))
        return 0;
    for (uint32_t n = 2; n < limit; n++) {
        if (bitset_test(&composite, n))
            continue;
        if (count < room)
            found[count] = n;
        count++;
        for (uint64_t multiple = (uint64_t)n * n; multiple < limit; multiple += n)
            bitset_set(&composite, (size_t)multiple);
    }
    bitset_free(&composite);
    return count;
}

/* (a * b) % m without 128-bit arithmetic, which not every compiler has. */
static uint64_t multiply_modulo(uint64_t a, uint64_t b, uint64_t m)
{
    uint64_t result = 0;
    for (a %= m; b > 0; b >>= 1) {
        if (b & 1)
            result = result >= m - a ? result - (m - a) : result + a;
        a = a >= m - a ? a - (m - a) : a + a;
    }
    return result;
}

static uint64_t power_modulo(uint64_t base, uint64_t exponent, uint64_t m)
{
    uint64_t result = 1;
    for (; exponent > 0; exponent >>= 1) {
        if (exponent & 1)
            result = multiply_modulo(result, base, m);
        base = multiply_modulo(base, base, m);
    }
    return result;
}

/* Miller and Rabin, with the bases that decide it for all 64-bit numbers. */
int is_prime(uint64_t n)
{
    static const uint64_t bases[] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37};
    if (n < 2)
        return 0;
    for (size_t i = 0; i < ARRAY_LENGTH(bases); i++)
        if (n % bases[i] == 0)
            return n == bases[i];
    uint64_t odd = n - 1;
    int twos = 0;
    for (; odd % 2 == 0; odd /= 2)
        twos++;
    for (size_t i = 0; i < ARRAY_LENGTH(bases); i++) {
        uint64_t x = power_modulo(bases[i], odd, n);
        int passed = x == 1 || x == n - 1;
        for (int round = 1; round < twos && !passed; round++) {
            x = multiply_modulo(x, x, n);
            passed = x == n - 1;
        }
        if (!passed)
            return 0;
    }
    return 1;
}

size_t factorize(uint64_t n, uint64_t factors[64])
{
    size_t count = 0;
    for (uint64_t divisor = 2; divisor <= n / divisor; divisor += divisor == 2 ? 1 : 2) {
        while (n % divisor == 0) {
            factors[count++] = divisor;
            n /= divisor;
        }
    }
    if (n > 1)
        factors[count++] = n;
    return count;
}

void check_primes(void)
{
    static uint32_t primes[2000];
    CHECK(primes_below(10000, primes, ARRAY_LENGTH(primes)) == 1229);
    CHECK(primes[0] == 2 && primes[1228] == 9973);
    unsigned wrong = 0;
    size_t next = 0;
    for (uint32_t n = 0; n < 9974; n++) {
        int listed = primes[next] == n;
        wrong += is_prime(n) != listed;
        next += (size_t)listed;
    }
    CHECK(wrong == 0);
    CHECK(is_prime(UINT64_C(18446744073709551557)));
    CHECK(!is_prime(UINT64_C(3215031751)));
    uint64_t factors[64];
    CHECK(factorize(UINT64_C(600851475143), factors) == 4);
    CHECK(factors[0] == 71 && factors[3] == 6857);
    CHECK(factorize(1024, factors) == 10);
    CHECK(factorize(1, factors) == 0);
}
