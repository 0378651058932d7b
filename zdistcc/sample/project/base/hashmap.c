#include "toolbox/base.h"
#include "toolbox/check.h"
#include "toolbox/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Open addressing with linear probing; a removal shifts later entries back instead of leaving a mark. */

static const uint8_t hash_key[16] = "toolbox hashmap";

static size_t home_of(const hashmap *m, const char *key)
{
    return (size_t)siphash24(hash_key, key, strlen(key)) & (m->capacity - 1);
}

static size_t find(const hashmap *m, const char *key)
{
    size_t at = home_of(m, key);
    while (m->slots[at].key != NULL && strcmp(m->slots[at].key, key) != 0)
        at = (at + 1) & (m->capacity - 1);
    return at;
}

static void allocate(hashmap *m, size_t capacity)
{
    m->slots = calloc(capacity, sizeof *m->slots);
    if (m->slots == NULL)
        abort();
    m->capacity = capacity;
}

void hashmap_init(hashmap *m)
{
    m->count = 0;
    allocate(m, 16);
}

static void grow(hashmap *m)
{
    hashmap_slot *old = m->slots;
    size_t old_capacity = m->capacity;
    allocate(m, old_capacity * 2);
    for (size_t i = 0; i < old_capacity; i++)
        if (old[i].key != NULL)
            m->slots[find(m, old[i].key)] = old[i];
    free(old);
}

void *hashmap_set(hashmap *m, const char *key, void *value)
{
    if ((m->count + 1) * 4 > m->capacity * 3)
        grow(m);
    hashmap_slot *slot = &m->slots[find(m, key)];
    void *before = slot->value;
    if (slot->key == NULL) {
        size_t size = strlen(key) + 1;
        slot->key = malloc(size);
        if (slot->key == NULL)
            abort();
        memcpy(slot->key, key, size);
        m->count++;
    }
    slot->value = value;
    return before;
}

void *hashmap_get(const hashmap *m, const char *key)
{
    return m->slots[find(m, key)].value;
}

int hashmap_remove(hashmap *m, const char *key)
{
    const size_t mask = m->capacity - 1;
    size_t hole = find(m, key);
    if (m->slots[hole].key == NULL)
        return 0;
    free(m->slots[hole].key);
    for (size_t at = (hole + 1) & mask; m->slots[at].key != NULL; at = (at + 1) & mask) {
        size_t home = home_of(m, m->slots[at].key);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            m->slots[hole] = m->slots[at];
            hole = at;
        }
    }
    m->slots[hole].key = NULL;
    m->slots[hole].value = NULL;
    m->count--;
    return 1;
}

void hashmap_free(hashmap *m)
{
    for (size_t i = 0; i < m->capacity; i++)
        free(m->slots[i].key);
    free(m->slots);
    m->slots = NULL;
    m->capacity = m->count = 0;
}

void check_hashmap(void)
{
    static int values[500];
    char key[16];
    hashmap m;
    hashmap_init(&m);
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "key%d", i);
        CHECK(hashmap_set(&m, key, &values[i]) == NULL);
    }
    CHECK(m.count == 500);
    CHECK(hashmap_set(&m, "key7", &values[8]) == &values[7]);
    CHECK(hashmap_get(&m, "key7") == &values[8]);
    CHECK(hashmap_get(&m, "key500") == NULL);
    for (int i = 0; i < 500; i += 2) {
        snprintf(key, sizeof key, "key%d", i);
        CHECK(hashmap_remove(&m, key));
        CHECK(!hashmap_remove(&m, key));
    }
    CHECK(m.count == 250);
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "key%d", i);
        CHECK((hashmap_get(&m, key) != NULL) == (i % 2 == 1));
    }
    hashmap_free(&m);
}
