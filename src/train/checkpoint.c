/*
 * checkpoint.c - two generations of a run's state. A file is complete when it has its name (pp_writer), and sound when its
 * checksum says so; the one before is removed only when the newest is on the disk.
 */
#include <string.h>

#include "train/files.h"

static const char prefix[] = "checkpoint-", suffix[] = ".safetensors", sum_key[] = "checksum", step_key[] = "step";

/* The format has no name for two of the types here: their bytes go as another of that size, and the metadata says so. */
static const struct {
    const char *name;
    pippin_type stored;
    size_t size;
} types[] = {{"f32", PIPPIN_F32, 4}, {"f64", PIPPIN_I64, 8}, {"i64", PIPPIN_I64, 8}, {"u8", PIPPIN_I8, 1}};

/* ---- the checksum ---- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
    const uint64_t x = (hash ^ word) * 0x9E3779B97F4A7C15u;
    return x << 29 | x >> 35;
}

/*
 * Four lanes of multiply and rotate, each step of which is reversible: damage to any one word changes the sum for certain,
 * any other damage but for one chance in 2^64. Not meant against someone who wants to deceive.
 */
static uint64_t hash_bytes(const void *data, size_t n)
{
    uint64_t lane[4] = {1, 2, 3, 4}, word[4] = {0};
    const unsigned char *p = data;
    const size_t whole = n / sizeof word;
    for (size_t i = 0; i < whole; i++, p += sizeof word) {
        memcpy(word, p, sizeof word);
        for (int k = 0; k < 4; k++) lane[k] = mix(lane[k], word[k]);
    }
    memset(word, 0, sizeof word);
    if (n % sizeof word) memcpy(word, p, n % sizeof word);
    uint64_t hash = n;
    for (int k = 0; k < 4; k++) hash = mix(mix(hash, lane[k]), word[k]);
    return hash;
}

static uint64_t hash_pair(const char *key, const void *value, size_t n, uint64_t kind)
{
    return mix(mix(mix(hash_bytes(key, strlen(key)), hash_bytes(value, n)), kind), 0);
}

/* The sum of all tensors and texts but itself, in whatever order a file has them. */
static uint64_t sum_of(const pp_tensor *tensors, size_t n, const pp_entry *metadata, size_t n_metadata)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += hash_pair(tensors[i].name, tensors[i].data, tensors[i].bytes, 1 + (uint64_t)tensors[i].type);
    for (size_t i = 0; i < n_metadata; i++)
        if (strcmp(metadata[i].key, sum_key) != 0)
            sum += hash_pair(metadata[i].key, metadata[i].value, strlen(metadata[i].value), 0);
    return sum;
}

/* ---- names ---- */

/* The step of "checkpoint-STEP.safetensors", or -1 where the name is none of ours. */
static int64_t step_of(const char *name)
{
    const size_t n_prefix = sizeof prefix - 1;
    if (strncmp(name, prefix, n_prefix) != 0) return -1;
    const char *p = name + n_prefix;
    if (p[0] == '0' && p[1] >= '0' && p[1] <= '9') return -1;
    int64_t step = 0;
    for (; *p >= '0' && *p <= '9' && p - name < 26; p++) step = 10 * step + (*p - '0');
    return p > name + n_prefix && strcmp(p, suffix) == 0 ? step : -1;
}

static pippin_status path_of(const char *dir, int64_t step, char **out, pippin_error *err)
{
    char name[64];
    snprintf(name, sizeof name, "%s%lld%s", prefix, (long long)step, suffix);
    *out = pp_path_join(dir, name);
    return *out ? PIPPIN_OK : pp_fail_memory(err, dir, strlen(dir));
}

/* The largest step below `limit` among the names, or -1. */
static int64_t newest_below(const pp_names *names, int64_t limit)
{
    int64_t newest = -1;
    for (size_t i = 0; i < names->n; i++) {
        const int64_t step = step_of(names->items[i]);
        if (step < limit) newest = PP_MAX(newest, step);
    }
    return newest;
}

pippin_status pp_checkpoint_find(const char *dir, int64_t *step, pippin_error *err)
{
    pp_names names = {0};
    *step = -1;
    pippin_status status = pp_path_is_dir(dir) ? pp_dir_list(dir, &names, err) : PIPPIN_OK;
    if (status == PIPPIN_OK) *step = newest_below(&names, INT64_MAX);
    pp_names_free(&names);
    return status;
}

/* ---- saving ---- */

/* Also those of later steps: they are damaged, or of a run that this one has left behind. */
static pippin_status remove_others(const char *dir, int64_t step, pippin_error *err)
{
    pp_names names;
    pippin_status status = pp_dir_list(dir, &names, err);
    const int64_t before = newest_below(&names, step);
    for (size_t i = 0; i < names.n && status == PIPPIN_OK; i++) {
        const int64_t other = step_of(names.items[i]);
        if (other < 0 || other == step || other == before) continue;
        char *path = pp_path_join(dir, names.items[i]);
        status = path ? pp_file_remove(path, err) : pp_fail_memory(err, dir, strlen(dir));
        pp_free(path);
    }
    pp_names_free(&names);
    return status;
}

/* A text for each array is "type.NAME"; they are kept in `keys`. */
typedef struct saved {
    pp_tensor *tensors;
    pp_entry *metadata;
    char **keys;
    size_t n_metadata;
    char step[32], sum[32];
} saved;

static void free_saved(saved *s, size_t n)
{
    for (size_t i = 0; s->keys && i < n; i++) pp_free(s->keys[i]);
    pp_free(s->keys);
    pp_free(s->tensors);
    pp_free(s->metadata);
}

static char *type_key(const char *name)
{
    const size_t n = strlen(name) + sizeof "type.";
    char *key = pp_alloc(n);
    if (key) snprintf(key, n, "type.%s", name);
    return key;
}

/* Wide elements first, so that all lie aligned in the file and are mapped, not copied. */
static void describe_arrays(const pp_state *state, pp_tensor *out)
{
    for (size_t size = 8; size > 0; size /= 2)
        for (size_t i = 0; i < state->n_array; i++) {
            const pp_array *a = &state->arrays[i];
            if (types[a->type].size != size) continue;
            *out++ = (pp_tensor){.name = a->name,
                                 .type = types[a->type].stored,
                                 .n_dim = 1,
                                 .shape = {(int64_t)a->n},
                                 .data = a->data,
                                 .n_elem = a->n,
                                 .bytes = a->n * size};
        }
}

static bool describe(const pp_state *state, saved *s)
{
    const size_t n = state->n_array;
    s->tensors = pp_alloc_zero(n, sizeof *s->tensors);
    s->keys = pp_alloc_zero(n, sizeof *s->keys);
    s->metadata = pp_alloc_zero(state->n_metadata + n + 2, sizeof *s->metadata);
    if (!s->tensors || !s->keys || !s->metadata) return false;
    describe_arrays(state, s->tensors);
    for (size_t i = 0; i < state->n_metadata; i++) s->metadata[s->n_metadata++] = state->metadata[i];
    for (size_t i = 0; i < n; i++) {
        s->keys[i] = type_key(state->arrays[i].name);
        if (!s->keys[i]) return false;
        s->metadata[s->n_metadata++] = (pp_entry){s->keys[i], types[state->arrays[i].type].name};
    }
    snprintf(s->step, sizeof s->step, "%lld", (long long)state->step);
    s->metadata[s->n_metadata++] = (pp_entry){step_key, s->step};
    snprintf(s->sum, sizeof s->sum, "%016llx", (unsigned long long)sum_of(s->tensors, n, s->metadata, s->n_metadata));
    s->metadata[s->n_metadata++] = (pp_entry){sum_key, s->sum};
    return true;
}

pippin_status pp_checkpoint_save(const char *dir, const pp_state *state, pippin_error *err)
{
    saved s = {0};
    char *path = NULL;
    pippin_status status =
        state->step >= 0 ? path_of(dir, state->step, &path, err)
                         : pp_fail(err, PIPPIN_E_ARGUMENT, "step: is %lld, expected 0 or more", (long long)state->step);
    if (status == PIPPIN_OK && !describe(state, &s)) status = pp_fail_memory(err, path, state->n_array * 100);
    if (status == PIPPIN_OK)
        status = pp_safetensors_write(path, s.tensors, state->n_array, s.metadata, s.n_metadata, err);
    if (status == PIPPIN_OK) status = remove_others(dir, state->step, err);
    if (status == PIPPIN_OK) status = pp_writer_clean(dir, err);
    free_saved(&s, state->n_array);
    pp_free(path);
    return status;
}

/* ---- loading ---- */

/* Opens a file and compares its sum. */
static pippin_status open_sound(const char *path, int64_t step, pp_tensors *file, pippin_error *err)
{
    char sum[32], number[32];
    pippin_status status = pp_safetensors_open(path, file, err);
    if (status != PIPPIN_OK) return status;
    const char *found = pp_tensors_metadata(file, sum_key), *found_step = pp_tensors_metadata(file, step_key);
    snprintf(sum, sizeof sum, "%016llx",
             (unsigned long long)sum_of(file->items, file->n, file->metadata, file->n_metadata));
    snprintf(number, sizeof number, "%lld", (long long)step);
    if (!found || !found_step)
        status = pp_fail(err, PIPPIN_E_FORMAT, "%s: has no checksum, expected a checkpoint of pippin train", path);
    else if (strcmp(found, sum) != 0)
        status = pp_fail(err, PIPPIN_E_FORMAT, "%s: its checksum is %s, expected %.32s; the file is damaged", path, sum,
                         found);
    else if (strcmp(found_step, number) != 0)
        status = pp_fail(err, PIPPIN_E_FORMAT, "%s: is of step %.32s, expected that of its name; rename it back", path,
                         found_step);
    if (status != PIPPIN_OK) pp_tensors_free(file);
    return status;
}

/* A run that goes on with other settings would end elsewhere than the one it continues. */
static pippin_status check_texts(const pp_tensors *file, const pp_state *want, pippin_error *err)
{
    for (size_t i = 0; i < want->n_metadata; i++) {
        const pp_entry *own = &want->metadata[i];
        const char *theirs = pp_tensors_metadata(file, own->key);
        if (!theirs || strcmp(theirs, own->value) != 0)
            return pp_fail(err, PIPPIN_E_ARGUMENT,
                           "%s: the run of %s has \"%.100s\", this one \"%s\"; give the same to resume it, or choose "
                           "another output folder",
                           own->key, file->source, theirs ? theirs : "none", own->value);
    }
    return PIPPIN_OK;
}

static pippin_status check_array(const pp_tensors *file, const pp_array *want, pippin_error *err)
{
    char key[400];
    const pp_tensor *t = pp_tensors_find(file, want->name);
    if (!t)
        return pp_fail(err, PIPPIN_E_FORMAT,
                       "%s: has no %s, expected %zu %s of it; resume with the options that the run began with, or name "
                       "another folder",
                       file->source, want->name, want->n, types[want->type].name);
    snprintf(key, sizeof key, "type.%s", want->name);
    const char *type = pp_tensors_metadata(file, key);
    if (t->n_elem == want->n && type && strcmp(type, types[want->type].name) == 0) return PIPPIN_OK;
    return pp_fail(err, PIPPIN_E_FORMAT,
                   "%s: %s: holds %zu %.8s, expected %zu %s; resume with the options that the run began with, or name "
                   "another folder",
                   file->source, want->name, t->n_elem, type ? type : "of no type", want->n, types[want->type].name);
}

static bool is_wanted(const pp_state *want, const char *name)
{
    for (size_t i = 0; i < want->n_array; i++)
        if (strcmp(want->arrays[i].name, name) == 0) return true;
    return false;
}

static pippin_status fill(const pp_tensors *file, const pp_state *want, pippin_error *err)
{
    pippin_status status = check_texts(file, want, err);
    for (size_t i = 0; i < want->n_array && status == PIPPIN_OK; i++) status = check_array(file, &want->arrays[i], err);
    if (status != PIPPIN_OK) return status;
    for (size_t i = 0; i < file->n; i++)
        if (!is_wanted(want, file->items[i].name))
            return pp_fail(
                err, PIPPIN_E_FORMAT,
                "%s: %.200s: is not known to this run, expected %zu arrays and none of that name; resume with "
                "the options that the run began with, or name another folder",
                file->source, file->items[i].name, want->n_array);
    for (size_t i = 0; i < want->n_array; i++) {
        const pp_tensor *t = pp_tensors_find(file, want->arrays[i].name);
        if (t->bytes) memcpy(want->arrays[i].data, t->data, t->bytes);
    }
    return PIPPIN_OK;
}

pippin_status pp_checkpoint_load(const char *dir, const pp_state *want, pp_checkpoint *out, pippin_error *err)
{
    pp_names names = {0};
    *out = (pp_checkpoint){.step = -1};
    pippin_status status = pp_path_is_dir(dir) ? pp_dir_list(dir, &names, err) : PIPPIN_OK;
    int64_t step = newest_below(&names, INT64_MAX);
    pippin_error why = {0};
    while (status == PIPPIN_OK && step >= 0) {
        char *path;
        status = path_of(dir, step, &path, err);
        if (status != PIPPIN_OK) break;
        const pippin_status opened = open_sound(path, step, &out->file, &why);
        pp_free(path);
        if (opened == PIPPIN_OK) {
            status = fill(&out->file, want, err);
            out->step = step;
            break;
        }
        step = newest_below(&names, step);
        /* Only damage, which may look like a type that is not known, is a reason to go back; memory or rights that are
           missing now are not. */
        const bool damaged = opened == PIPPIN_E_FORMAT || opened == PIPPIN_E_UNSUPPORTED;
        if (!damaged || step < 0)
            status = pp_fail(err, opened, "%s", why.text);
        else
            pp_log("%s; going back to step %lld", why.text, (long long)step);
    }
    pp_names_free(&names);
    if (status != PIPPIN_OK) pp_checkpoint_free(out);
    return status;
}

const char *pp_checkpoint_text(const pp_checkpoint *c, const char *key) { return pp_tensors_metadata(&c->file, key); }

void pp_checkpoint_free(pp_checkpoint *c)
{
    pp_tensors_free(&c->file);
    *c = (pp_checkpoint){.step = -1};
}
