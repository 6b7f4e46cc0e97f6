/*
 * base - the only room that speaks to the operating system: errors, memory, files, time, threads, CPU features; and the
 * two things every parser needs: checked arithmetic and a bounded reader.
 */
#ifndef PP_BASE_H
#define PP_BASE_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "pippin.h"

#if defined(__GNUC__)
#define PP_PRINTF(format_arg, first_arg) __attribute__((format(printf, format_arg, first_arg)))
#define PP_MUST_USE                      __attribute__((warn_unused_result))
#else
#define PP_PRINTF(format_arg, first_arg)
#define PP_MUST_USE
#endif

#define PP_MIN(a, b) ((a) < (b) ? (a) : (b))
#define PP_MAX(a, b) ((a) > (b) ? (a) : (b))

/* ---- errors (error.c) ---- */

/* Fills err (if not NULL) with a status and one line of text; returns the status, so that callers write `return pp_fail(...)`. */
pippin_status pp_fail(pippin_error *err, pippin_status status, const char *format, ...) PP_PRINTF(3, 4);
/* The text for a failed allocation of n_bytes for `what`. */
pippin_status pp_fail_memory(pippin_error *err, const char *what, uint64_t n_bytes);
/* One line to the log hook, if there is one. */
void pp_log(const char *format, ...) PP_PRINTF(1, 2);

/* ---- memory (memory.c): one hook, counted ---- */

/* Uninitialised, aligned to 64 bytes. NULL when there is no memory; size 0 gives a valid block. */
void *pp_alloc(size_t size) PP_MUST_USE;
/* n * size bytes, zeroed; NULL also when the product overflows. */
void *pp_alloc_zero(size_t n, size_t size) PP_MUST_USE;
/* Grows an array from n_old to n_new elements of `size` bytes; on failure returns NULL and leaves `block` as it was. */
void *pp_grow(void *block, size_t n_old, size_t n_new, size_t size) PP_MUST_USE;
/* Room for one element more in an array of n of `size` bytes, of which *room fit; `array` is the address of the pointer to it, a T **.
   False without memory, and nothing has changed. */
bool pp_make_room(void *array, size_t n, size_t *room, size_t size) PP_MUST_USE;
/* Hint that a large block will be used whole: fewer, larger pages where the system has them. Not for caches that fill slowly. */
void pp_advise_whole(void *block, size_t size);
char *pp_strdup(const char *text) PP_MUST_USE;
char *pp_strndup(const char *text, size_t n) PP_MUST_USE;
void pp_free(void *block);

/* Checked arithmetic: false, and *out untouched, when the result does not fit. */
bool pp_mul(size_t a, size_t b, size_t *out) PP_MUST_USE;
bool pp_add(size_t a, size_t b, size_t *out) PP_MUST_USE;

/* Many arrays in one block: hands out the next n elements, aligned to 64 bytes, or only counts them where there is no block yet. */
typedef struct pp_cutter {
    uint8_t *block;
    uint64_t at; /* bytes so far */
} pp_cutter;

void *pp_cut(pp_cutter *k, uint64_t n, size_t size);

/* ---- bounded reader (bytes.c): never reads past the end; after a failure every read gives 0 and `failed` stays set ---- */

typedef struct pp_bytes {
    const uint8_t *data;
    size_t size, at;
    bool failed;
} pp_bytes;

pp_bytes pp_bytes_of(const void *data, size_t size);
size_t pp_bytes_left(const pp_bytes *b);
/* The next n bytes, or NULL (and failed) when fewer are left. */
const uint8_t *pp_bytes_take(pp_bytes *b, size_t n);
uint8_t pp_bytes_u8(pp_bytes *b);
uint16_t pp_bytes_u16(pp_bytes *b); /* little-endian, as all below */
uint32_t pp_bytes_u32(pp_bytes *b);
uint64_t pp_bytes_u64(pp_bytes *b);
int32_t pp_bytes_i32(pp_bytes *b);
float pp_bytes_f32(pp_bytes *b);

/* ---- files (file.c) ---- */

typedef struct pp_map {
    const uint8_t *data; /* read-only; NULL for an empty file */
    size_t size;
} pp_map;

pippin_status pp_map_open(const char *path, pp_map *out, pippin_error *err);
void pp_map_close(pp_map *map);
/* Gives the whole pages within these bytes of a mapping back; who reads them again gets them from the file. */
void pp_map_forget(const pp_map *map, const void *from, size_t size);

bool pp_path_exists(const char *path);
bool pp_path_is_dir(const char *path);
const char *pp_path_base(const char *path); /* part after the last '/' */
bool pp_path_ends(const char *path, const char *suffix);
/* "dir/name" (or "name" when dir is "" ), to be freed with pp_free; NULL when out of memory. */
char *pp_path_join(const char *dir, const char *name) PP_MUST_USE;
/* The folder that holds path ("." for a bare name), to be freed. */
char *pp_path_dir(const char *path) PP_MUST_USE;
/* path without its last ".suffix", plus `tail`: ("a/b.pt", "-config.json") -> "a/b-config.json"; to be freed. */
char *pp_path_stem(const char *path, const char *tail) PP_MUST_USE;
/* The file of the program that runs, links followed; NULL where nobody says. */
char *pp_path_program(void) PP_MUST_USE;
pippin_status pp_dir_create(const char *path, pippin_error *err); /* OK when it exists already */

/*
 * Writing so that nothing is lost: bytes go to "PATH.tmp-PID" beside the target; pp_writer_commit syncs it, renames it
 * over the target and syncs the folder; pp_writer_abort removes it. After an error the writer must still be aborted.
 */
typedef struct pp_writer {
    FILE *file;
    char *path, *tmp;
} pp_writer;

pippin_status pp_writer_open(const char *path, pp_writer *out, pippin_error *err);
pippin_status pp_writer_write(pp_writer *w, const void *data, size_t size, pippin_error *err);
pippin_status pp_writer_commit(pp_writer *w, pippin_error *err); /* closes and frees, also on failure */
void pp_writer_abort(pp_writer *w);                              /* harmless on a zeroed or committed writer */

/* ---- folders (dir.c) ---- */

typedef struct pp_names {
    char **items; /* [n] in the order of their bytes */
    size_t n;
} pp_names;

/* All that a folder holds but "." and "..", without its path; out is zeroed on failure. */
pippin_status pp_dir_list(const char *path, pp_names *out, pippin_error *err);
void pp_names_free(pp_names *names);
pippin_status pp_file_remove(const char *path, pippin_error *err); /* OK when it does not exist */
/* For logs that grow a line at a time; close with fclose. */
pippin_status pp_append_open(const char *path, FILE **out, pippin_error *err);
/* Removes the "NAME.tmp-PID" files of processes that no longer run; none of this one's writers may be open in `dir`. */
pippin_status pp_writer_clean(const char *dir, pippin_error *err);

/* ---- the machine (system.c) ---- */

double pp_seconds(void); /* monotonic */
uint64_t pp_peak_rss(void);
int pp_cpu_count(void); /* cores that this process may use */

/* Kernel levels, in rising order; a level includes those below it on the same architecture. */
typedef enum pp_isa {
    PP_ISA_SCALAR = 0,
    PP_ISA_AVX2,       /* AVX2, FMA, F16C */
    PP_ISA_AVX512,     /* F, BW, DQ, VL */
    PP_ISA_AVX512VNNI, /* these and VNNI */
    PP_ISA_NEON,       /* Advanced SIMD, which every 64-bit ARM has */
    PP_ISA_NEON_DOTPROD,
    PP_ISA_NEON_I8MM, /* DotProd and I8MM */
    PP_ISA_COUNT
} pp_isa;

/* Is this a level of the architecture that this was compiled for? */
bool pp_isa_here(pp_isa isa);
/* Does this CPU, and the operating system under it, run this level? */
bool pp_isa_supported(pp_isa isa);
const char *pp_isa_name(pp_isa isa);

/* ---- thread team (team.c): spin briefly, then sleep ---- */

typedef struct pp_team pp_team;
typedef void (*pp_task)(void *arg, int thread, int n_thread);
/* Items first .. last - 1 of a region. */
typedef void (*pp_piece_task)(void *arg, int thread, size_t first, size_t last);

/* n_thread >= 1; the caller is thread 0 and does its share. NULL when threads or memory are not to be had. */
pp_team *pp_team_create(int n_thread) PP_MUST_USE;
void pp_team_free(pp_team *team);
int pp_team_size(const pp_team *team);
/* Runs task on every thread of the team and returns when all are done. One caller at a time. */
void pp_team_run(pp_team *team, pp_task task, void *arg);
/* Is `work` (multiply-adds, about) worth waking the others for? */
bool pp_team_shares(const pp_team *team, uint64_t work);
/* The same, by the caller alone where it is not. */
void pp_team_run_worth(pp_team *team, uint64_t work, pp_task task, void *arg);
/*
 * n < 2^32 items, piece by piece: each thread goes through its share in order, and then takes from the ends of what others have left, so
 * that a core that is slower, or busy with something else, keeps nobody waiting. Who gets what is chance: results may not depend on
 * it. `work` as above; the caller alone takes all n at once.
 */
void pp_team_run_pieces(pp_team *team, uint64_t work, size_t n, pp_piece_task task, void *arg);
/*
 * What a thread is going to read in a region that comes later: where it has to wait before, it asks for that into its cache, as memory
 * would rest meanwhile. A hint: nothing is read, and any address will do. Between regions.
 */
void pp_team_ahead(pp_team *team, int thread, const void *from, size_t bytes);
/* The half-open range of n items that belongs to `thread`: fixed, contiguous, a multiple of `grain` but for the last. */
void pp_team_share(size_t n, size_t grain, int thread, int n_thread, size_t *first, size_t *last);

/* White space as C has it, whatever the locale. */
static inline bool pp_is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* ---- a lock (lock.c) ---- */

typedef struct pp_lock pp_lock;

pp_lock *pp_lock_create(void) PP_MUST_USE; /* NULL: out of memory */
void pp_lock_free(pp_lock *lock);
void pp_lock_take(pp_lock *lock);
void pp_lock_give(pp_lock *lock);

/* ---- random numbers (random.c): counter-based, so a value depends on (seed, stream, index) and nothing else ---- */

/* 64 well-mixed bits (Philox4x32-10, Salmon et al. 2011, first two words). */
uint64_t pp_random_bits(uint64_t seed, uint64_t stream, uint64_t index);
/* The same for filling gigabytes: SplitMix64's finaliser on a counter, ten times faster, still a pure function. */
uint64_t pp_random_fast(uint64_t seed, uint64_t stream, uint64_t index);
double pp_random_unit(uint64_t seed, uint64_t stream, uint64_t index); /* [0, 1) */

#endif
