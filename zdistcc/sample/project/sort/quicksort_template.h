/* A sort for one type. Define TYPE, NAME and LESS(a, b) before; no include guard, include it often. */
#ifndef TYPE
#error "define TYPE, NAME and LESS first"
#endif

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)

static void JOIN(insertion, NAME)(TYPE *items, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        TYPE item = items[i];
        size_t at = i;
        for (; at > 0 && LESS(item, items[at - 1]); at--)
            items[at] = items[at - 1];
        items[at] = item;
    }
}

static TYPE JOIN(median, NAME)(TYPE a, TYPE b, TYPE c)
{
    if (LESS(b, a)) {
        TYPE swap = a;
        a = b;
        b = swap;
    }
    if (LESS(c, b))
        b = LESS(c, a) ? a : c;
    return b;
}

void JOIN(quicksort, NAME)(TYPE *items, size_t count)
{
    while (count > SMALL_ENOUGH) {
        TYPE pivot = JOIN(median, NAME)(items[0], items[count / 2], items[count - 1]);
        size_t low = 0, high = count - 1;
        for (;;) {
            while (LESS(items[low], pivot))
                low++;
            while (LESS(pivot, items[high]))
                high--;
            if (low >= high)
                break;
            TYPE swap = items[low];
            items[low++] = items[high];
            items[high--] = swap;
        }
        /* Recurse into the smaller part only: the stack stays logarithmic. */
        size_t left = high + 1;
        if (left < count - left) {
            JOIN(quicksort, NAME)(items, left);
            items += left;
            count -= left;
        } else {
            JOIN(quicksort, NAME)(items + left, count - left);
            count = left;
        }
    }
    JOIN(insertion, NAME)(items, count);
}

#undef JOIN
#undef JOIN_
#undef TYPE
#undef NAME
#undef LESS
