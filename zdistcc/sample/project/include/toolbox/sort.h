/* Three ways to sort; each is a template that the preprocessor instantiates. */
#ifndef TOOLBOX_SORT_H
#define TOOLBOX_SORT_H

#include <stddef.h>
#include <stdint.h>

#include "config.h"

TOOLBOX_BEGIN

typedef struct record {
    int key;
    unsigned serial;
} record;

void quicksort_int(int *items, size_t count);
void quicksort_double(double *items, size_t count);
void quicksort_name(const char **items, size_t count);
/* Stable. The scratch space holds as many items. */
void mergesort_record(record *items, size_t count, record *scratch);
void mergesort_u64(uint64_t *items, size_t count, uint64_t *scratch);
void heapsort_int(int *items, size_t count);
void heapsort_record(record *items, size_t count);

TOOLBOX_END

#endif
