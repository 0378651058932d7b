#include "toolbox/check.h"
#include "toolbox/num.h"

#include <stdlib.h>
#include <string.h>

static const uint32_t BASE = 1000000000;

static void resize(bigint *b, size_t count)
{
    b->limbs = calloc(count ? count : 1, sizeof *b->limbs);
    if (b->limbs == NULL)
        abort();
    b->count = count;
}

static void trim(bigint *b)
{
    while (b->count > 0 && b->limbs[b->count - 1] == 0)
        b->count--;
}

void bigint_from(bigint *b, uint64_t value)
{
    resize(b, 3);
    for (size_t i = 0; i < 3; i++, value /= BASE)
        b->limbs[i] = (uint32_t)(value % BASE);
    trim(b);
}

void bigint_add(bigint *sum, const bigint *a, const bigint *b)
{
    size_t longest = a->count > b->count ? a->count : b->count;
    bigint result;
    resize(&result, longest + 1);
    uint32_t carry = 0;
    for (size_t i = 0; i <= longest; i++) {
        uint32_t digit = carry;
        digit += i < a->count ? a->limbs[i] : 0;
        digit += i < b->count ? b->limbs[i] : 0;
        carry = digit >= BASE;
        result.limbs[i] = carry ? digit - BASE : digit;
    }
    trim(&result);
    bigint_free(sum);
    *sum = result;
}

void bigint_multiply(bigint *product, const bigint *a, const bigint *b)
{
    bigint result;
    resize(&result, a->count + b->count);
    for (size_t i = 0; i < a->count; i++) {
        uint64_t carry = 0;
        for (size_t j = 0; j < b->count || carry > 0; j++) {
            uint64_t digit = result.limbs[i + j] + carry;
            if (j < b->count)
                digit += (uint64_t)a->limbs[i] * b->limbs[j];
            result.limbs[i + j] = (uint32_t)(digit % BASE);
            carry = digit / BASE;
        }
    }
    trim(&result);
    bigint_free(product);
    *product = result;
}

int bigint_compare(const bigint *a, const bigint *b)
{
    if (a->count != b->count)
        return a->count < b->count ? -1 : 1;
    for (size_t i = a->count; i-- > 0;)
        if (a->limbs[i] != b->limbs[i])
            return a->limbs[i] < b->limbs[i] ? -1 : 1;
    return 0;
}

void bigint_print(strbuf *out, const bigint *b)
{
    if (b->count == 0) {
        strbuf_puts(out, "0");
        return;
    }
    strbuf_printf(out, "%u", (unsigned)b->limbs[b->count - 1]);
    for (size_t i = b->count - 1; i-- > 0;)
        strbuf_printf(out, "%09u", (unsigned)b->limbs[i]);
}

void bigint_free(bigint *b)
{
    free(b->limbs);
    b->limbs = NULL;
    b->count = 0;
}

static int prints_as(const bigint *b, const char *expected)
{
    strbuf text = STRBUF_EMPTY;
    bigint_print(&text, b);
    int same = strcmp(text.data, expected) == 0;
    strbuf_free(&text);
    return same;
}

void check_bigint(void)
{
    bigint product, factor, one, other;
    bigint_from(&product, 1);
    for (uint64_t i = 2; i <= 30; i++) {
        bigint_from(&factor, i);
        bigint_multiply(&product, &product, &factor);
        bigint_free(&factor);
    }
    CHECK(prints_as(&product, "265252859812191058636308480000000"));
    bigint_from(&one, 0);
    bigint_from(&other, 1);
    for (int i = 0; i < 150; i++) {
        bigint_add(&one, &one, &other);
        bigint swap = one;
        one = other;
        other = swap;
    }
    CHECK(prints_as(&one, "9969216677189303386214405760200"));
    CHECK(bigint_compare(&one, &other) < 0);
    CHECK(bigint_compare(&product, &one) > 0);
    CHECK(bigint_compare(&one, &one) == 0);
    bigint_free(&other);
    bigint_from(&other, 0);
    bigint_multiply(&product, &product, &other);
    CHECK(prints_as(&product, "0"));
    bigint_free(&other);
    bigint_from(&other, UINT64_MAX);
    CHECK(prints_as(&other, "18446744073709551615"));
    bigint_free(&product);
    bigint_free(&one);
    bigint_free(&other);
}
