#include "toolbox/check.h"
#include "toolbox/num.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int matrix_init(matrix *m, size_t rows, size_t columns)
{
    m->rows = rows;
    m->columns = columns;
    m->cells = calloc(rows * columns, sizeof *m->cells);
    return m->cells != NULL;
}

void matrix_multiply(matrix *product, const matrix *a, const matrix *b)
{
    for (size_t i = 0; i < a->rows; i++) {
        for (size_t j = 0; j < b->columns; j++)
            MATRIX_AT(product, i, j) = 0;
        for (size_t k = 0; k < a->columns; k++)
            for (size_t j = 0; j < b->columns; j++)
                MATRIX_AT(product, i, j) += MATRIX_AT(a, i, k) * MATRIX_AT(b, k, j);
    }
}

static void swap_rows(matrix *m, size_t one, size_t other)
{
    for (size_t j = 0; one != other && j < m->columns; j++) {
        double kept = MATRIX_AT(m, one, j);
        MATRIX_AT(m, one, j) = MATRIX_AT(m, other, j);
        MATRIX_AT(m, other, j) = kept;
    }
}

/* Gauss with partial pivots; other (if any) goes along. Returns the determinant. */
static double eliminate(matrix *m, matrix *other)
{
    double determinant = 1;
    for (size_t step = 0; step < m->rows; step++) {
        size_t pivot = step;
        for (size_t i = step + 1; i < m->rows; i++)
            if (fabs(MATRIX_AT(m, i, step)) > fabs(MATRIX_AT(m, pivot, step)))
                pivot = i;
        if (fabs(MATRIX_AT(m, pivot, step)) < 1e-12)
            return 0;
        swap_rows(m, step, pivot);
        if (other != NULL)
            swap_rows(other, step, pivot);
        determinant *= pivot == step ? 1 : -1;
        determinant *= MATRIX_AT(m, step, step);
        for (size_t i = step + 1; i < m->rows; i++) {
            double factor = MATRIX_AT(m, i, step) / MATRIX_AT(m, step, step);
            for (size_t j = step; j < m->columns; j++)
                MATRIX_AT(m, i, j) -= factor * MATRIX_AT(m, step, j);
            for (size_t j = 0; other != NULL && j < other->columns; j++)
                MATRIX_AT(other, i, j) -= factor * MATRIX_AT(other, step, j);
        }
    }
    return determinant;
}

int matrix_solve(matrix *a, matrix *b)
{
    if (eliminate(a, b) == 0)
        return 0;
    for (size_t i = a->rows; i-- > 0;)
        for (size_t j = 0; j < b->columns; j++) {
            double value = MATRIX_AT(b, i, j);
            for (size_t k = i + 1; k < a->columns; k++)
                value -= MATRIX_AT(a, i, k) * MATRIX_AT(b, k, j);
            MATRIX_AT(b, i, j) = value / MATRIX_AT(a, i, i);
        }
    return 1;
}

double matrix_determinant(matrix *m)
{
    return eliminate(m, NULL);
}

void matrix_free(matrix *m)
{
    free(m->cells);
    m->cells = NULL;
}

void check_matrix(void)
{
    enum { SIZE = 20 };
    matrix a, copy, inverse, product;
    if (!CHECK(matrix_init(&a, SIZE, SIZE) && matrix_init(&copy, SIZE, SIZE)))
        return;
    if (!CHECK(matrix_init(&inverse, SIZE, SIZE) && matrix_init(&product, SIZE, SIZE)))
        return;
    prng p;
    prng_seed(&p, 7);
    for (size_t i = 0; i < SIZE * SIZE; i++)
        a.cells[i] = prng_unit(&p) - 0.5;
    memcpy(copy.cells, a.cells, SIZE * SIZE * sizeof(double));
    for (size_t i = 0; i < SIZE; i++)
        MATRIX_AT(&inverse, i, i) = 1;
    CHECK(matrix_solve(&copy, &inverse));
    matrix_multiply(&product, &a, &inverse);
    double worst = 0;
    for (size_t i = 0; i < SIZE; i++)
        for (size_t j = 0; j < SIZE; j++)
            worst = fmax(worst, fabs(MATRIX_AT(&product, i, j) - (i == j)));
    CHECK(worst < 1e-9);
    for (size_t j = 0; j < SIZE; j++)
        MATRIX_AT(&a, 3, j) = 2 * MATRIX_AT(&a, 5, j);
    CHECK(fabs(matrix_determinant(&a)) < 1e-9);
    matrix_free(&a);
    matrix_free(&copy);
    matrix_free(&inverse);
    matrix_free(&product);
}
