#include "toolbox/base.h"
#include "toolbox/check.h"
#include "toolbox/sort.h"

#include <stdlib.h>
#include <string.h>

/* Bottom up: runs of one, two, four ... items are merged to and fro between the array and the scratch. */
#define DEFINE_MERGESORT(name, type, less)                                                     \
    static void merge_##name(const type *from, size_t left, size_t middle, size_t right, type *to) \
    {                                                                                          \
        size_t a = left, b = middle;                                                           \
        for (size_t at = left; at < right; at++) {                                             \
            if (a < middle && (b >= right || !less(from[b], from[a])))                         \
                to[at] = from[a++];                                                            \
            else                                                                               \
                to[at] = from[b++];                                                            \
        }                                                                                      \
    }                                                                                          \
    void mergesort_##name(type *items, size_t count, type *scratch)                            \
    {                                                                                          \
        type *from = items, *to = scratch;                                                     \
        for (size_t width = 1; width < count; width *= 2) {                                    \
            for (size_t left = 0; left < count; left += 2 * width) {                           \
                size_t middle = left + width < count ? left + width : count;                   \
                size_t right = middle + width < count ? middle + width : count;                \
                merge_##name(from, left, middle, right, to);                                   \
            }                                                                                  \
            type *swap = from;                                                                 \
            from = to;                                                                         \
            to = swap;                                                                         \
        }                                                                                      \
        if (from != items)                                                                     \
            memcpy(items, from, count * sizeof *items);                                        \
    }

#define RECORD_LESS(a, b) ((a).key < (b).key)
#define NUMBER_LESS(a, b) ((a) < (b))

DEFINE_MERGESORT(record, record, RECORD_LESS)
DEFINE_MERGESORT(u64, uint64_t, NUMBER_LESS)

void check_mergesort(void)
{
    enum { COUNT = 3000 };
    record *records = calloc(2 * COUNT, sizeof *records);
    uint64_t *numbers = calloc(2 * COUNT, sizeof *numbers);
    if (CHECK(records != NULL && numbers != NULL)) {
        prng p;
        prng_seed(&p, 4);
        for (unsigned i = 0; i < COUNT; i++) {
            records[i].key = (int)prng_below(&p, 50);
            records[i].serial = i;
            numbers[i] = prng_next(&p);
        }
        mergesort_record(records, COUNT, records + COUNT);
        mergesort_u64(numbers, COUNT, numbers + COUNT);
        unsigned wrong = 0;
        for (size_t i = 1; i < COUNT; i++) {
            wrong += records[i].key < records[i - 1].key;
            wrong += records[i].key == records[i - 1].key && records[i].serial < records[i - 1].serial;
            wrong += numbers[i] < numbers[i - 1];
        }
        CHECK(wrong == 0);
        mergesort_u64(numbers, 1, numbers + COUNT);
        mergesort_u64(numbers, 0, numbers + COUNT);
    }
    free(records);
    free(numbers);
}
