/* Numbers. */
#ifndef TOOLBOX_NUM_H
#define TOOLBOX_NUM_H

#include <stddef.h>
#include <stdint.h>

#include "base.h"

TOOLBOX_BEGIN

/* --- bigint: natural numbers of any size, little-endian in base 10^9 --------------------------- */
typedef struct bigint {
    uint32_t *limbs;
    size_t count;
} bigint;

void bigint_from(bigint *b, uint64_t value);
void bigint_add(bigint *sum, const bigint *a, const bigint *b);
void bigint_multiply(bigint *product, const bigint *a, const bigint *b);
int bigint_compare(const bigint *a, const bigint *b);
void bigint_print(strbuf *out, const bigint *b);
void bigint_free(bigint *b);

/* --- matrix: row-major doubles ------------------------------------------------------------------ */
typedef struct matrix {
    size_t rows, columns;
    double *cells;
} matrix;

#define MATRIX_AT(m, row, column) ((m)->cells[(row) * (m)->columns + (column)])

int matrix_init(matrix *m, size_t rows, size_t columns);
void matrix_multiply(matrix *product, const matrix *a, const matrix *b);
/* Solve a x = b in place: a is destroyed, b becomes x. Returns 0 if a is singular. */
int matrix_solve(matrix *a, matrix *b);
double matrix_determinant(matrix *m);
void matrix_free(matrix *m);

/* --- primes -------------------------------------------------------------------------------------- */
size_t primes_below(uint32_t limit, uint32_t *found, size_t room);
int is_prime(uint64_t n);
/* Prime factors in ascending order with repetition; returns how many (at most 64). */
size_t factorize(uint64_t n, uint64_t factors[64]);

/* --- fraction -------------------------------------------------------------------------------------- */
typedef struct fraction {
    int64_t over, under;
} fraction;

fraction fraction_make(int64_t over, int64_t under);
fraction fraction_add(fraction a, fraction b);
fraction fraction_multiply(fraction a, fraction b);
fraction fraction_divide(fraction a, fraction b);
/* The simplest fraction within the tolerance, by continued fractions. */
fraction fraction_near(double value, double tolerance);

static inline int64_t greatest_common_divisor(int64_t a, int64_t b)
{
    while (b != 0) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a < 0 ? -a : a;
}

TOOLBOX_END

#endif
