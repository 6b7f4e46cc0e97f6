/*
 * memory.c - every allocation of the library goes through one hook and is counted. Each block carries its size in a
 * header of one cache line, so that releasing can count too and the caller's pointer stays aligned to 64 bytes.
 */
#define _DEFAULT_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/base.h"
#include "base/hooks.h"

enum { HEADER = 64 };

static void *default_alloc(void *user, size_t size, size_t align)
{
    (void)user;
    size_t rounded;
    if (!pp_add(size, align - 1, &rounded)) return NULL;
    return aligned_alloc(align, rounded & ~(align - 1));
}

static void default_release(void *user, void *block)
{
    (void)user;
    free(block);
}

static pippin_hooks the_hooks = {default_alloc, default_release, NULL, NULL};
static atomic_uint_fast64_t live, peak, count;

void pippin_set_hooks(const pippin_hooks *hooks)
{
    the_hooks = *hooks;
    if (!hooks->alloc || !hooks->release) {
        the_hooks.alloc = default_alloc;
        the_hooks.release = default_release;
    }
}

const pippin_hooks *pp_hooks(void) { return &the_hooks; }

pippin_memory pippin_memory_used(void)
{
    return (pippin_memory){atomic_load(&live), atomic_load(&peak), atomic_load(&count)};
}

void *pp_alloc(size_t size)
{
    size_t whole;
    if (!pp_add(size, HEADER, &whole)) return NULL;
    unsigned char *block = the_hooks.alloc(the_hooks.user, whole, HEADER);
    if (!block) return NULL;
    memcpy(block, &size, sizeof size);
    atomic_fetch_add(&count, 1);
    uint64_t now = atomic_fetch_add(&live, size) + size;
    uint_fast64_t seen = atomic_load(&peak);
    while (seen < now && !atomic_compare_exchange_weak(&peak, &seen, now)) {
    }
    return block + HEADER;
}

void *pp_alloc_zero(size_t n, size_t size)
{
    size_t whole;
    if (!pp_mul(n, size, &whole)) return NULL;
    void *block = pp_alloc(whole);
    if (block) memset(block, 0, whole);
    return block;
}

void *pp_grow(void *block, size_t n_old, size_t n_new, size_t size)
{
    size_t whole;
    if (!pp_mul(n_new, size, &whole)) return NULL;
    void *bigger = pp_alloc(whole);
    if (!bigger) return NULL;
    if (block) memcpy(bigger, block, n_old * size);
    pp_free(block);
    return bigger;
}

bool pp_make_room(void *array, size_t n, size_t *room, size_t size)
{
    void *block;
    if (n < *room) return true;
    memcpy(&block, array, sizeof block); /* pointers to objects are alike here, their types are not */
    const size_t bigger = *room ? 2 * *room : 16;
    block = pp_grow(block, n, bigger, size);
    if (!block) return false;
    memcpy(array, &block, sizeof block);
    *room = bigger;
    return true;
}

void *pp_cut(pp_cutter *k, uint64_t n, size_t size)
{
    void *p = k->block ? k->block + k->at : NULL;
    k->at += (n * size + 63) / 64 * 64;
    return p;
}

void pp_advise_whole(void *block, size_t size)
{
#ifdef MADV_HUGEPAGE
    const uintptr_t page = 4096, start = ((uintptr_t)block + page - 1) & ~(page - 1),
                    end = ((uintptr_t)block + size) & ~(page - 1);
    if (end > start) madvise((void *)start, end - start, MADV_HUGEPAGE); /* only a hint: a refusal changes nothing */
#else
    (void)block, (void)size;
#endif
}

char *pp_strndup(const char *text, size_t n)
{
    char *copy = n < SIZE_MAX ? pp_alloc(n + 1) : NULL;
    if (!copy) return NULL;
    memcpy(copy, text, n);
    copy[n] = 0;
    return copy;
}

char *pp_strdup(const char *text) { return pp_strndup(text, strlen(text)); }

void pp_free(void *block)
{
    if (!block) return;
    unsigned char *start = (unsigned char *)block - HEADER;
    size_t size;
    memcpy(&size, start, sizeof size);
    atomic_fetch_sub(&live, size);
    the_hooks.release(the_hooks.user, start);
}

bool pp_mul(size_t a, size_t b, size_t *out)
{
    if (b && a > SIZE_MAX / b) return false;
    *out = a * b;
    return true;
}

bool pp_add(size_t a, size_t b, size_t *out)
{
    if (a > SIZE_MAX - b) return false;
    *out = a + b;
    return true;
}
