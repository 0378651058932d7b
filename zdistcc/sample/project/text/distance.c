#include "toolbox/check.h"
#include "toolbox/text.h"

#include <stdlib.h>
#include <string.h>

static inline size_t least(size_t a, size_t b, size_t c)
{
    size_t smaller = a < b ? a : b;
    return smaller < c ? smaller : c;
}

/* Insertions, deletions, replacements and swaps of neighbours; three rows of the table are enough. */
size_t edit_distance(const char *one, const char *other)
{
    const size_t rows = strlen(one), columns = strlen(other), width = columns + 1;
    size_t *table = malloc(3 * width * sizeof *table);
    if (table == NULL)
        abort();
    size_t *older = table, *above = table + width, *row = table + 2 * width;
    for (size_t j = 0; j <= columns; j++) {
        older[j] = 0;
        row[j] = j;
    }
    for (size_t i = 1; i <= rows; i++) {
        size_t *spare = older;
        older = above;
        above = row;
        row = spare;
        row[0] = i;
        for (size_t j = 1; j <= columns; j++) {
            size_t replaced = above[j - 1] + (one[i - 1] != other[j - 1]);
            row[j] = least(above[j] + 1, row[j - 1] + 1, replaced);
            if (i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1])
                row[j] = least(row[j], older[j - 2] + 1, row[j]);
        }
    }
    size_t distance = row[columns];
    free(table);
    return distance;
}

const char *nearest_word(const char *word, const char *const *candidates, size_t count, size_t limit)
{
    const char *best = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(word, candidates[i]);
        if (distance <= limit) {
            best = candidates[i];
            if (distance == 0)
                break;
            limit = distance - 1;
        }
    }
    return best;
}

void check_distance(void)
{
    static const char *const commands[] = {"status", "hosts", "explain", "doctor", "make", "run", "stop"};
    CHECK(edit_distance("", "") == 0);
    CHECK(edit_distance("abc", "") == 3);
    CHECK(edit_distance("kitten", "sitting") == 3);
    CHECK(edit_distance("form", "from") == 1);
    CHECK(edit_distance("sunday", "saturday") == edit_distance("saturday", "sunday"));
    const char *found = nearest_word("stauts", commands, ARRAY_LENGTH(commands), 2);
    CHECK(found != NULL && strcmp(found, "status") == 0);
    found = nearest_word("exlpian", commands, ARRAY_LENGTH(commands), 2);
    CHECK(found != NULL && strcmp(found, "explain") == 0);
    CHECK(nearest_word("elephant", commands, ARRAY_LENGTH(commands), 2) == NULL);
}
