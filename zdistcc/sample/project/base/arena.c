#include "toolbox/base.h"
#include "toolbox/check.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

struct arena_block {
    arena_block *next;
    size_t size;
    alignas(max_align_t) unsigned char bytes[];
};

static size_t round_up(size_t size)
{
    const size_t unit = alignof(max_align_t);
    return (size + unit - 1) / unit * unit;
}

void arena_init(arena *a, size_t block_size)
{
    a->first = NULL;
    a->block_size = round_up(block_size ? block_size : 4096);
    a->used = 0;
}

static arena_block *new_block(size_t size)
{
    arena_block *block = malloc(sizeof *block + size);
    if (block == NULL)
        abort();
    block->size = size;
    block->next = NULL;
    return block;
}

void *arena_alloc(arena *a, size_t size)
{
    size = round_up(size ? size : 1);
    if (size > a->block_size / 2) {
        /* A large piece gets a block of its own behind the first, which stays in use. */
        arena_block *large = new_block(size);
        if (a->first != NULL) {
            large->next = a->first->next;
            a->first->next = large;
        } else {
            a->first = large;
            a->used = size;
        }
        return large->bytes;
    }
    if (a->first == NULL || a->used + size > a->first->size) {
        arena_block *block = new_block(a->block_size);
        block->next = a->first;
        a->first = block;
        a->used = 0;
    }
    void *piece = a->first->bytes + a->used;
    a->used += size;
    return piece;
}

char *arena_copy(arena *a, const char *text, size_t length)
{
    char *copy = arena_alloc(a, length + 1);
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

void arena_free(arena *a)
{
    for (arena_block *block = a->first, *next; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    arena_init(a, a->block_size);
}

static size_t count_blocks(const arena *a)
{
    size_t count = 0;
    for (const arena_block *block = a->first; block != NULL; block = block->next)
        count++;
    return count;
}

void check_arena(void)
{
    arena a;
    arena_init(&a, 256);
    char *words[64];
    for (int i = 0; i < 64; i++) {
        char text[32];
        memset(text, 'a' + i % 26, sizeof text);
        words[i] = arena_copy(&a, text, (size_t)i % 32);
    }
    for (int i = 0; i < 64; i++) {
        CHECK(strlen(words[i]) == (size_t)i % 32);
        CHECK(i % 32 == 0 || words[i][0] == 'a' + i % 26);
    }
    size_t blocks = count_blocks(&a);
    CHECK(blocks > 4);
    unsigned char *large = arena_alloc(&a, 10000);
    memset(large, 0xff, 10000);
    CHECK(count_blocks(&a) == blocks + 1);
    CHECK((uintptr_t)arena_alloc(&a, 1) % alignof(max_align_t) == 0);
    CHECK(count_blocks(&a) <= blocks + 2);
    arena_free(&a);
    CHECK(a.first == NULL);
}
