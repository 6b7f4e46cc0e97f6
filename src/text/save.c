/* save.c - a tokenizer beside a model that is written as a folder: the files that it came from, byte for byte. */
#include <string.h>

#include "text/tokenizer.h"

static pippin_status copy(const pp_map *map, const char *dir, const char *name, pippin_error *err)
{
    pp_writer w = {0};
    if (!map->size) return PIPPIN_OK;
    char *path = pp_path_join(dir, name);
    if (!path) return pp_fail_memory(err, name, strlen(dir) + strlen(name) + 2);
    pippin_status status = pp_writer_open(path, &w, err);
    if (status == PIPPIN_OK) status = pp_writer_write(&w, map->data, map->size, err);
    if (status == PIPPIN_OK) status = pp_writer_commit(&w, err);
    pp_writer_abort(&w);
    pp_free(path);
    return status;
}

pippin_status pp_tokenizer_save(const pippin_tokenizer *t, const char *dir, bool *saved, pippin_error *err)
{
    const pp_origin *o = &t->origin;
    const char *name = pp_tokenizer_file_name(o->file.data, o->file.size);
    *saved = name != NULL;
    if (!name) return PIPPIN_OK;
    pippin_status status = copy(&o->file, dir, name, err);
    if (status == PIPPIN_OK) status = copy(&o->config, dir, "tokenizer_config.json", err);
    return status == PIPPIN_OK ? copy(&o->chat, dir, "chat_template.jinja", err) : status;
}
