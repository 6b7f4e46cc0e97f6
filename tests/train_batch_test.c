/*
 * train_batch_test.c - the laws of batches: an order is a permutation and pure, packed = separate, every target comes once
 * an epoch, filling a batch allocates nothing.
 */
#include "tests/support.h"
#include "train/data.h"

/* Samples of 2 to 20 tokens, a third of which are no targets. */
static pp_dataset made(size_t n_sample)
{
    static char text[400000];
    size_t n = 0;
    for (size_t s = 0; s < n_sample; s++) {
        const size_t length = 2 + pp_random_bits(3, 1, s) % 19;
        for (int part = 0; part < 2; part++) {
            n += (size_t)snprintf(text + n, sizeof text - n, part ? "],\"loss_mask\":[" : "{\"tokens\":[");
            for (size_t i = 0; i < length; i++)
                n += (size_t)snprintf(text + n, sizeof text - n, "%s%d", i ? "," : "",
                                      part ? i == 1 || pp_random_bits(3, 2, 100 * s + i) % 3 > 0
                                           : (int)(pp_random_bits(3, 3, 100 * s + i) % 265));
        }
        n += (size_t)snprintf(text + n, sizeof text - n, "]}\n");
    }
    assert_true(n < sizeof text - 1000);
    const pp_dataset_options o = {.first_id = -1, .last_id = -1, .pad_id = -1};
    pp_dataset d;
    OK(pp_dataset_parse(text, n, true, "made", NULL, 265, &o, &d, err));
    return d;
}

typedef struct triple {
    int32_t token, position, target;
} triple;

static int by_bytes(const void *a, const void *b) { return memcmp(a, b, sizeof(triple)); }

/* All (token, position, target) of an epoch, sorted; checks every batch on the way. */
static triple *epoch_triples(pp_plan *plan, uint64_t epoch, size_t *n)
{
    const pp_dataset *d = plan->data;
    triple *all = test_malloc((d->n_tok + 1) * sizeof *all);
    pp_batch b;
    OK(pp_batch_create(plan, &b, err));
    const size_t n_batch = pp_plan_n_batch(plan, epoch);
    const uint64_t allocations = pippin_memory_used().allocations;
    *n = 0;
    for (size_t k = 0; k < n_batch; k++) {
        pp_plan_batch(plan, epoch, k, &b);
        assert_true(b.n_tok > 0 && b.n_tok <= plan->max_tok && b.n_segment <= plan->max_segment);
        assert_true(k + 1 < n_batch ? b.n_sequence == plan->options.batch_size
                                    : b.n_sequence <= plan->options.batch_size);
        assert_int_equal(b.segment_start[b.n_segment], b.n_tok);
        assert_int_equal(b.sequence_start[b.n_sequence], b.n_segment);
        for (size_t s = 0; s < b.n_sequence && plan->options.pack; s++)
            assert_true(b.segment_start[b.sequence_start[s + 1]] - b.segment_start[b.sequence_start[s]] <=
                        plan->options.max_length);
        size_t targets = 0;
        for (size_t g = 0; g < b.n_segment; g++)
            for (size_t i = b.segment_start[g]; i < b.segment_start[g + 1]; i++) {
                assert_int_equal(b.position[i], i - b.segment_start[g]);
                if (b.target[i] >= 0) assert_int_equal(b.target[i], b.tokens[i + 1]);
                targets += b.target[i] >= 0;
                assert_true(*n < d->n_tok);
                all[(*n)++] = (triple){b.tokens[i], b.position[i], b.target[i]};
            }
        assert_int_equal(targets, b.n_target);
    }
    assert_true(pippin_memory_used().allocations == allocations); /* filling a batch never allocates */
    qsort(all, *n, sizeof *all, by_bytes);
    pp_batch_free(&b);
    return all;
}

static void test_batches(void **state)
{
    (void)state;
    pp_dataset d = made(500);
    pp_plan reference;
    OK(pp_plan_create(&d, &(pp_plan_options){.batch_size = 1}, &reference, err));
    size_t n, n_expected, targets = 0;
    triple *expected = epoch_triples(&reference, 0, &n_expected);
    assert_int_equal(n_expected, d.n_tok);
    for (size_t i = 0; i < n_expected; i++) targets += expected[i].target >= 0;
    assert_int_equal(targets, d.n_labelled);
    for (int pack = 0; pack < 2; pack++)
        for (int shuffle = 0; shuffle < 2; shuffle++)
            for (size_t size = 1; size < 600; size = 3 * size + 4) {
                pp_plan plan;
                const pp_plan_options o = {
                    .batch_size = size, .pack = pack, .max_length = 33, .shuffle = shuffle, .seed = 7};
                OK(pp_plan_create(&d, &o, &plan, err));
                for (uint64_t epoch = 0; epoch < 3; epoch++) {
                    triple *got = epoch_triples(&plan, epoch, &n);
                    assert_int_equal(n, n_expected);
                    assert_memory_equal(got, expected, n * sizeof *got);
                    test_free(got);
                }
                pp_plan_free(&plan);
            }
    test_free(expected);
    pp_plan_free(&reference);
    pp_dataset_free(&d);
}

/* A batch depends on nothing but its epoch and number: not on what was asked for before. */
static void test_order(void **state)
{
    (void)state;
    pp_dataset d = made(300);
    pp_plan a, b;
    const pp_plan_options o = {.batch_size = 4, .pack = true, .max_length = 40, .shuffle = true, .seed = 11};
    OK(pp_plan_create(&d, &o, &a, err));
    OK(pp_plan_create(&d, &o, &b, err));
    uint32_t order[300];
    assert_true(pp_plan_n_batch(&a, 5) > 0);
    memcpy(order, a.order, sizeof order);
    uint8_t seen[300] = {0};
    for (size_t i = 0; i < 300; i++) seen[order[i]]++;
    for (size_t i = 0; i < 300; i++) assert_int_equal(seen[i], 1);
    assert_true(pp_plan_n_batch(&a, 6) > 0);
    assert_memory_not_equal(order, a.order, sizeof order);
    pp_batch x, y;
    OK(pp_batch_create(&a, &x, err));
    OK(pp_batch_create(&b, &y, err));
    for (size_t k = 0; k < pp_plan_n_batch(&a, 5); k++) {
        pp_plan_batch(&a, 5, k, &x);
        if (k % 3 == 0) pp_plan_batch(&b, k, 0, &y);
        pp_plan_batch(&b, 5, k, &y);
        assert_int_equal(x.n_tok, y.n_tok);
        assert_memory_equal(x.tokens, y.tokens, x.n_tok * sizeof *x.tokens);
        assert_memory_equal(x.target, y.target, x.n_tok * sizeof *x.target);
    }
    pp_plan_free(&b);
    OK(pp_plan_create(&d, &(pp_plan_options){.batch_size = 4, .shuffle = true, .seed = 12}, &b, err));
    assert_true(pp_plan_n_batch(&b, 5) == 75);
    assert_memory_not_equal(order, b.order, sizeof order);
    pp_batch_free(&x);
    pp_batch_free(&y);
    pp_plan_free(&a);
    pp_plan_free(&b);
    pippin_error failure;
    assert_int_equal(pp_plan_create(&d, &(pp_plan_options){.batch_size = 0}, &a, &failure), PIPPIN_E_ARGUMENT);
    assert_int_equal(pp_plan_create(&d, &(pp_plan_options){.batch_size = 1, .pack = true}, &a, &failure),
                     PIPPIN_E_ARGUMENT);
    assert_int_equal(
        pp_plan_create(&d, &(pp_plan_options){.batch_size = 1, .pack = true, .max_length = 3}, &a, &failure),
        PIPPIN_E_ARGUMENT);
    pp_dataset_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_batches), cmocka_unit_test(test_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
