#include "toolbox/base.h"
#include "toolbox/check.h"
#include "toolbox/sort.h"

#include <string.h>

enum { SMALL_ENOUGH = 12 };

#define TYPE int
#define NAME int
#define LESS(a, b) ((a) < (b))
#include "quicksort_template.h"

#define TYPE double
#define NAME double
#define LESS(a, b) ((a) < (b))
#include "quicksort_template.h"

typedef const char *name_type;
#define TYPE name_type
#define NAME name
#define LESS(a, b) (strcmp(a, b) < 0)
#include "quicksort_template.h"

static int is_sorted(const int *items, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (items[i] < items[i - 1])
            return 0;
    return 1;
}

void check_quicksort(void)
{
    static int items[5000];
    prng p;
    prng_seed(&p, 3);
    for (unsigned range = 1; range < 100000; range *= 10) {
        long before = 0, after = 0;
        for (size_t i = 0; i < ARRAY_LENGTH(items); i++)
            before += items[i] = (int)prng_below(&p, range);
        quicksort_int(items, ARRAY_LENGTH(items));
        for (size_t i = 0; i < ARRAY_LENGTH(items); i++)
            after += items[i];
        CHECK(is_sorted(items, ARRAY_LENGTH(items)));
        CHECK(before == after);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(items); i++)
        items[i] = (int)(ARRAY_LENGTH(items) - i);
    quicksort_int(items, ARRAY_LENGTH(items));
    CHECK(is_sorted(items, ARRAY_LENGTH(items)));
    double numbers[] = {3.5, -1, 2.25, 1e9, 0, -1e-9, 7, 6, 5, 4, 3, 2, 1, 8, 9};
    quicksort_double(numbers, ARRAY_LENGTH(numbers));
    CHECK(numbers[0] == -1 && numbers[1] == -1e-9 && numbers[14] == 1e9);
    const char *names[] = {"pear", "fig", "apple", "quince", "plum", "cherry", "date"};
    quicksort_name(names, ARRAY_LENGTH(names));
    CHECK(strcmp(names[0], "apple") == 0 && strcmp(names[6], "quince") == 0);
    quicksort_int(items, 0);
}
