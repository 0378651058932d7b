#include "toolbox/base.h"
#include "toolbox/check.h"
#include "toolbox/sort.h"

/* In place and never worse than n log n. The heap is generic over size: compare and swap are given. */

typedef struct heap_operations {
    int (*less)(const void *items, size_t one, size_t other);
    void (*swap)(void *items, size_t one, size_t other);
} heap_operations;

static void sift_down(void *items, size_t root, size_t count, const heap_operations *do_)
{
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && do_->less(items, child, child + 1))
            child++;
        if (!do_->less(items, root, child))
            return;
        do_->swap(items, root, child);
    }
}

static void heapsort_any(void *items, size_t count, const heap_operations *do_)
{
    for (size_t root = count / 2; root-- > 0;)
        sift_down(items, root, count, do_);
    for (size_t end = count; end-- > 1;) {
        do_->swap(items, 0, end);
        sift_down(items, 0, end, do_);
    }
}

#define OPERATIONS(name, type, member)                                                    \
    static int name##_less(const void *items, size_t one, size_t other)                   \
    {                                                                                     \
        const type *all = items;                                                          \
        return all[one] member < all[other] member;                                       \
    }                                                                                     \
    static void name##_swap(void *items, size_t one, size_t other)                        \
    {                                                                                     \
        type *all = items, kept = all[one];                                               \
        all[one] = all[other];                                                            \
        all[other] = kept;                                                                \
    }                                                                                     \
    static const heap_operations name##_operations = {name##_less, name##_swap};          \
    void heapsort_##name(type *items, size_t count)                                       \
    {                                                                                     \
        heapsort_any(items, count, &name##_operations);                                   \
    }

OPERATIONS(int, int, )
OPERATIONS(record, record, .key)

void check_heapsort(void)
{
    int items[301];
    record records[301];
    prng p;
    prng_seed(&p, 5);
    for (size_t count = 0; count <= 301; count += 43) {
        for (size_t i = 0; i < count; i++) {
            items[i] = (int)prng_below(&p, 1000) - 500;
            records[i].key = -items[i];
            records[i].serial = (unsigned)i;
        }
        heapsort_int(items, count);
        heapsort_record(records, count);
        unsigned wrong = 0;
        for (size_t i = 0; i < count; i++) {
            wrong += i > 0 && items[i] < items[i - 1];
            wrong += records[i].key != -items[count - 1 - i];
        }
        CHECK(wrong == 0);
    }
}
