#include "toolbox/check.h"
#include "toolbox/num.h"

#include <assert.h>
#include <math.h>

fraction fraction_make(int64_t over, int64_t under)
{
    assert(under != 0);
    int64_t common = greatest_common_divisor(over, under);
    if (under < 0)
        common = -common;
    return (fraction){.over = over / common, .under = under / common};
}

fraction fraction_add(fraction a, fraction b)
{
    /* Dividing first by the common part keeps the products small. */
    int64_t common = greatest_common_divisor(a.under, b.under);
    int64_t over = a.over * (b.under / common) + b.over * (a.under / common);
    return fraction_make(over, a.under / common * b.under);
}

fraction fraction_multiply(fraction a, fraction b)
{
    int64_t one = greatest_common_divisor(a.over, b.under);
    int64_t other = greatest_common_divisor(b.over, a.under);
    one = one ? one : 1;
    other = other ? other : 1;
    return fraction_make((a.over / one) * (b.over / other), (a.under / other) * (b.under / one));
}

fraction fraction_divide(fraction a, fraction b)
{
    return fraction_multiply(a, fraction_make(b.under, b.over));
}

fraction fraction_near(double value, double tolerance)
{
    int64_t before_over = 1, before_under = 0;
    double rest = value;
    int64_t over = (int64_t)floor(rest), under = 1;
    while (fabs((double)over / (double)under - value) > tolerance && under < 1000000) {
        rest = 1 / (rest - floor(rest));
        int64_t whole = (int64_t)floor(rest);
        int64_t next_over = whole * over + before_over;
        int64_t next_under = whole * under + before_under;
        before_over = over;
        before_under = under;
        over = next_over;
        under = next_under;
    }
    return fraction_make(over, under);
}

static int equals(fraction f, int64_t over, int64_t under)
{
    return f.over == over && f.under == under;
}

void check_fraction(void)
{
    CHECK(equals(fraction_make(6, -8), -3, 4));
    CHECK(equals(fraction_make(0, 5), 0, 1));
    CHECK(equals(fraction_add(fraction_make(1, 6), fraction_make(1, 10)), 4, 15));
    CHECK(equals(fraction_multiply(fraction_make(2, 3), fraction_make(9, 4)), 3, 2));
    CHECK(equals(fraction_divide(fraction_make(1, 2), fraction_make(-3, 4)), -2, 3));
    fraction harmonic = fraction_make(0, 1);
    for (int64_t i = 1; i <= 20; i++)
        harmonic = fraction_add(harmonic, fraction_make(1, i));
    CHECK(equals(harmonic, 55835135, 15519504));
    CHECK(equals(fraction_near(3.14159265358979, 1e-6), 355, 113));
    CHECK(equals(fraction_near(0.75, 1e-9), 3, 4));
    CHECK(equals(fraction_near(-2.5, 1e-9), -5, 2));
}
