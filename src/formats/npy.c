/* npy.c - float32 matrices as NumPy reads them: format 1.0, C order, written a row at a time. */
#include <string.h>

#include "formats/formats.h"

pippin_status pp_npy_create(const char *path, size_t n_row, size_t n_col, pp_npy *out, pippin_error *err)
{
    /* Magic, version, the length of the text, and the text padded so that the data starts at a multiple of 64. */
    char text[128];
    uint8_t header[128] = "\x93NUMPY\x01\x00";
    const int n =
        snprintf(text, sizeof text, "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", n_row, n_col);
    memset(header + 10, ' ', sizeof header - 10);
    memcpy(header + 10, text, (size_t)n);
    header[8] = sizeof header - 10;
    header[sizeof header - 1] = '\n';
    *out = (pp_npy){.n_row = n_row, .n_col = n_col};
    pippin_status status = pp_writer_open(path, &out->writer, err);
    if (status == PIPPIN_OK) status = pp_writer_write(&out->writer, header, sizeof header, err);
    if (status != PIPPIN_OK) pp_npy_abort(out);
    return status;
}

pippin_status pp_npy_row(pp_npy *npy, const float *row, pippin_error *err)
{
    if (npy->written == npy->n_row)
        return pp_fail(err, PIPPIN_E_ARGUMENT, "%s: a row too many, expected %zu", npy->writer.path, npy->n_row);
    npy->written++;
    return pp_writer_write(&npy->writer, row, npy->n_col * sizeof *row, err);
}

pippin_status pp_npy_commit(pp_npy *npy, pippin_error *err)
{
    if (npy->written == npy->n_row) return pp_writer_commit(&npy->writer, err);
    pippin_status status =
        pp_fail(err, PIPPIN_E_ARGUMENT, "%s: %zu rows came, expected %zu", npy->writer.path, npy->written, npy->n_row);
    pp_npy_abort(npy);
    return status;
}

void pp_npy_abort(pp_npy *npy) { pp_writer_abort(&npy->writer); }
