/* Memory, strings, maps, bits and chance. */
#ifndef TOOLBOX_BASE_H
#define TOOLBOX_BASE_H

#include <stddef.h>
#include <stdint.h>

#include "config.h"

TOOLBOX_BEGIN

/* --- arena: many small allocations, freed together ------------------------------------------ */
typedef struct arena_block arena_block;
typedef struct arena {
    arena_block *first;
    size_t block_size;
    size_t used;
} arena;

void arena_init(arena *a, size_t block_size);
void *arena_alloc(arena *a, size_t size);
char *arena_copy(arena *a, const char *text, size_t length);
void arena_free(arena *a);

/* --- strbuf: a string that grows -------------------------------------------------------------- */
typedef struct strbuf {
    char *data;
    size_t length;
    size_t capacity;
} strbuf;

#define STRBUF_EMPTY {NULL, 0, 0}

void strbuf_put(strbuf *s, const void *bytes, size_t length);
void strbuf_puts(strbuf *s, const char *text);
void strbuf_printf(strbuf *s, const char *format, ...) TOOLBOX_PRINTF(2, 3);
void strbuf_free(strbuf *s);

static inline void strbuf_putc(strbuf *s, char c)
{
    if (TOOLBOX_LIKELY(s->length + 1 < s->capacity)) {
        s->data[s->length++] = c;
        s->data[s->length] = '\0';
    } else {
        strbuf_put(s, &c, 1);
    }
}

/* --- hashmap: string to pointer ---------------------------------------------------------------- */
typedef struct hashmap_slot {
    char *key;
    void *value;
} hashmap_slot;

typedef struct hashmap {
    hashmap_slot *slots;
    size_t capacity;
    size_t count;
} hashmap;

void hashmap_init(hashmap *m);
/* Returns the value that was replaced, or NULL. */
void *hashmap_set(hashmap *m, const char *key, void *value);
void *hashmap_get(const hashmap *m, const char *key);
int hashmap_remove(hashmap *m, const char *key);
void hashmap_free(hashmap *m);

/* --- bitset -------------------------------------------------------------------------------------- */
#define BITSET_WORD_BITS 64u

typedef struct bitset {
    uint64_t *words;
    size_t bits;
} bitset;

int bitset_init(bitset *b, size_t bits);
size_t bitset_count(const bitset *b);
size_t bitset_next(const bitset *b, size_t from);
void bitset_and(bitset *b, const bitset *other);
void bitset_free(bitset *b);

static inline void bitset_set(bitset *b, size_t bit)
{
    b->words[bit / BITSET_WORD_BITS] |= UINT64_C(1) << (bit % BITSET_WORD_BITS);
}

static inline void bitset_clear(bitset *b, size_t bit)
{
    b->words[bit / BITSET_WORD_BITS] &= ~(UINT64_C(1) << (bit % BITSET_WORD_BITS));
}

static inline int bitset_test(const bitset *b, size_t bit)
{
    return (int)(b->words[bit / BITSET_WORD_BITS] >> (bit % BITSET_WORD_BITS) & 1u);
}

/* --- prng: reproducible chance ---------------------------------------------------------------- */
typedef struct prng {
    uint64_t state[2];
} prng;

void prng_seed(prng *p, uint64_t seed);
uint64_t prng_next(prng *p);
uint32_t prng_below(prng *p, uint32_t limit);
double prng_unit(prng *p);

TOOLBOX_END

#endif
