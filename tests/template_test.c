/*
 * template_test.c - conversations: prompts that others expect, AFM's against strings written by hand and spm_encode's ids,
 * and the laws of all templates: what users write gives no special piece, an answer is exactly what the assistant wrote,
 * and what is trained on begins with what is asked later.
 */
#include <jansson.h>
#include <unistd.h>

#include "tests/byte_tokenizer.h"
#include "text/template.h"

/* ---- tokenizers ---- */

/* A byte-level vocabulary of single bytes and these special pieces, with a chat template or NULL. */
static pippin_tokenizer *bytes_and(const char *const *specials, bool special, const char *chat_template)
{
    json_t *config = json_pack("{s:s*}", "chat_template", chat_template);
    char *text = byte_tokenizer(specials, special), *config_text = json_dumps(config, 0);
    const pp_map map = {(const uint8_t *)config_text, strlen(config_text)};
    pippin_tokenizer *t;
    OK(pp_tokenizer_parse_json(text, strlen(text), &map, "test", &t, err));
    free(text);
    free(config_text);
    json_decref(config);
    return t;
}

static const char *const llama3_pieces[] = {"<|begin_of_text|>",
                                            "<|end_of_text|>",
                                            "<|start_header_id|>",
                                            "<|end_header_id|>",
                                            "<|eot_id|>",
                                            "<|eom_id|>",
                                            NULL};
static const char *const chatml_pieces[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>", NULL};
static const char *const mistral_pieces[] = {
    "<s>",          "</s>",           "[INST]",          "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]",
    "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", NULL};
static const char *const old_mistral_pieces[] = {"<s>", "</s>", NULL};
static const char *const afm_pieces[] = {
    "<pad>", "<eos>", "<turn_start>", "<turn_end>", "<n>", "<executable_start>", "<executable_end>", NULL};

static const struct kind {
    pippin_template kind;
    const char *const *pieces;
    const char *folder;
} kinds[] = {{PIPPIN_TEMPLATE_LLAMA3, llama3_pieces, "llama3-instruct.gotmpl"},
             {PIPPIN_TEMPLATE_CHATML, chatml_pieces, "chatml.gotmpl"},
             {PIPPIN_TEMPLATE_MISTRAL, mistral_pieces, "mistral-instruct.gotmpl"},
             {PIPPIN_TEMPLATE_MISTRAL, old_mistral_pieces, "mistral-instruct.gotmpl"},
             {PIPPIN_TEMPLATE_AFM, afm_pieces, NULL}};
enum { N_KIND = sizeof kinds / sizeof *kinds };

static pippin_prompt *render(const pippin_tokenizer *t, pippin_template kind, bool complete, const char *messages)
{
    pippin_prompt *p;
    const pippin_prompt_options options = {.kind = kind, .complete = complete};
    OK(pippin_prompt_create(t, messages, strlen(messages), &options, &p, err));
    assert_int_equal(strlen(p->text), p->n_bytes);
    return p;
}

/* The stored texts of ids [0, n_ids) that `which` holds (NULL: all), spelt bytes as bytes. */
static char *stored(const pippin_tokenizer *t, const int32_t *ids, const bool *which, size_t n_ids)
{
    char *text = test_malloc(16 * n_ids + 1), *end = text;
    for (size_t i = 0; i < n_ids; i++) {
        const pp_piece *p = &t->pieces[ids[i]];
        if (which && !which[i]) continue;
        memcpy(end, p->text, p->n_text);
        end += p->n_text;
    }
    *end = 0;
    return text;
}

/* ---- prompts that others expect ---- */

#define USER      "{\"role\": \"user\", \"content\": \"Hello, how are you?\"}"
#define ASSISTANT "{\"role\": \"assistant\", \"content\": \"I'm doing great. How can I help you today?\"}"
#define MORE      "{\"role\": \"user\", \"content\": \"I'd like to show off how chat templating works!\"}"
#define SYSTEM    "{\"role\": \"system\", \"content\": \"You are a helpful assistant.\"}"

static char *read_text(const char *path)
{
    pp_map map;
    OK(pp_map_open(path, &map, err));
    char *text = test_malloc(map.size + 1);
    memcpy(text, map.data, map.size);
    text[map.size] = 0;
    pp_map_close(&map);
    return text;
}

static void test_expected_prompts(void **state)
{
    (void)state;
    static const struct {
        const char *name, *messages;
    } cases[] = {{"user", "[" USER "]"},
                 {"user-assistant-user", "[" USER "," ASSISTANT "," MORE "]"},
                 {"system-user-assistant-user", "{\"messages\": [" SYSTEM "," USER "," ASSISTANT "," MORE "]}"}};
    for (size_t k = 0; k < N_KIND && kinds[k].folder; k++) {
        pippin_tokenizer *t = bytes_and(kinds[k].pieces, true, NULL);
        for (size_t i = 0; i < 3; i++) {
            char name[200];
            snprintf(name, sizeof name, "data/chat-templates/%s/%s", kinds[k].folder, cases[i].name);
            const char *path = shared_file(name);
            if (!path) continue;
            char *expected = read_text(path);
            pippin_prompt *p = render(t, kinds[k].kind, false, cases[i].messages);
            assert_string_equal(p->text, expected);
            /* The ids say the same, after the one that begins a text. */
            const bool has_bos = kinds[k].kind != PIPPIN_TEMPLATE_CHATML;
            char *said = stored(t, p->ids + has_bos, NULL, p->n_ids - has_bos);
            assert_string_equal(said, expected);
            if (has_bos) assert_int_equal(p->ids[0], 256);
            test_free(said);
            test_free(expected);
            pippin_prompt_free(p);
        }
        pippin_tokenizer_free(t);
    }
}

static void test_recognised_by_content(void **state)
{
    (void)state;
    static const char *const none[] = {"<unrelated>", NULL};
    const char *path = shared_file("data/chat-templates/templates.jsonl");
    for (size_t k = 0; k < N_KIND; k++) {
        if (kinds[k].pieces == old_mistral_pieces) continue;
        pippin_tokenizer *t = bytes_and(kinds[k].pieces, true, NULL),
                         *told = bytes_and(kinds[k].pieces, true, "{{ x }}");
        assert_int_equal(pippin_tokenizer_template(t), kinds[k].kind);
        assert_int_equal(pippin_tokenizer_template(told), PIPPIN_TEMPLATE_NONE); /* the file rules over its pieces */
        pippin_tokenizer_free(t);
        pippin_tokenizer_free(told);
    }
    char *lines = path ? read_text(path) : NULL;
    size_t n_known = 0;
    for (char *line = lines, *next; line && *line; line = next) {
        next = strchr(line, '\n');
        next = next ? (*next = 0, next + 1) : line + strlen(line);
        json_t *one = json_loads(line, 0, NULL);
        void *at = json_object_iter(one);
        const char *name = json_object_iter_key(at);
        const pippin_template expected = strcmp(name, "chatml") == 0             ? PIPPIN_TEMPLATE_CHATML
                                         : strcmp(name, "llama3-instruct") == 0  ? PIPPIN_TEMPLATE_LLAMA3
                                         : strcmp(name, "mistral-instruct") == 0 ? PIPPIN_TEMPLATE_MISTRAL
                                                                                 : PIPPIN_TEMPLATE_NONE;
        pippin_tokenizer *t = bytes_and(none, true, json_string_value(json_object_iter_value(at)));
        assert_int_equal(pippin_tokenizer_template(t), expected);
        n_known += expected != PIPPIN_TEMPLATE_NONE;
        pippin_tokenizer_free(t);
        json_decref(one);
    }
    if (lines) assert_true(n_known > 10);
    test_free(lines);
}

static void test_default_system_of_the_file(void **state)
{
    (void)state;
    pippin_tokenizer *t = bytes_and(chatml_pieces, true,
                                    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are kind."
                                    "<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role']}}");
    pippin_prompt *p = render(t, PIPPIN_TEMPLATE_AUTO, false, "[" USER "]");
    assert_int_equal(p->kind, PIPPIN_TEMPLATE_CHATML);
    assert_string_equal(p->text, "<|im_start|>system\nYou are kind.<|im_end|>\n<|im_start|>user\nHello, how are you?"
                                 "<|im_end|>\n<|im_start|>assistant\n");
    pippin_prompt_free(p);
    p = render(t, PIPPIN_TEMPLATE_AUTO, false, "[" SYSTEM "," USER "]");
    assert_null(strstr(p->text, "kind"));
    pippin_prompt_free(p);
    pippin_tokenizer_free(t);
}

static void test_tools_of_each(void **state)
{
    (void)state;
    static const char messages[] =
        "{\"messages\": [{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\", \"content\": \"U\"}, "
        "{\"role\": "
        "\"assistant\", \"content\": null, \"tool_calls\": [{\"id\": \"call00001\", \"type\": \"function\", "
        "\"function\": "
        "{\"name\": \"f\", \"arguments\": \"{\\\"x\\\":[1,2.50]}\"}}]}, {\"role\": \"tool\", \"tool_call_id\": "
        "\"call00001\", \"content\": {\"y\": true}}], \"tools\": [{\"function\": {\"name\": \"f\"}}]}";
    static const char *const expected[] = {
        "<|start_header_id|>system<|end_header_id|>\n\nEnvironment: ipython\nS<|eot_id|><|start_header_id|>user"
        "<|end_header_id|>\n\nGiven the following functions, please respond with a JSON for a function call with its "
        "proper arguments that best answers the given prompt.\n\nRespond in the format {\"name\": function name, "
        "\"parameters\": dictionary of argument name and its value}.Do not use variables.\n\n{\n    \"function\": {\n  "
        " "
        "     \"name\": \"f\"\n    }\n}\n\nU<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n{\"name\": "
        "\"f\", "
        "\"parameters\": {\"x\": [1, 2.5]}}<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\n{\"y\": true}"
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        "<|im_start|>system\nS\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou "
        "are "
        "provided with function signatures within <tools></tools> XML tags:\n<tools>\n{\"function\": {\"name\": \"f\"}}"
        "\n</tools>\n\nFor each function call, return a json object with function name and arguments within <tool_call>"
        "</tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n"
        "</tool_call><|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n<tool_call>\n{\"name\": \"f\", "
        "\"arguments\": {\"x\": [1, 2.5]}}\n</tool_call><|im_end|>\n<|im_start|>user\n<tool_response>\n{\"y\": true}\n"
        "</tool_response><|im_end|>\n<|im_start|>assistant\n",
        "[AVAILABLE_TOOLS] [{\"function\": {\"name\": \"f\"}}][/AVAILABLE_TOOLS][INST] S\n\nU[/INST][TOOL_CALLS] "
        "[{\"name\": \"f\", \"arguments\": {\"x\": [1, 2.5]}, \"id\": \"call00001\"}]</s>[TOOL_RESULTS] {\"content\": "
        "{\"y\": true}, \"call_id\": \"call00001\"}[/TOOL_RESULTS]"};
    for (size_t k = 0; k < 3; k++) {
        pippin_tokenizer *t = bytes_and(kinds[k].pieces, true, NULL);
        pippin_prompt *p = render(t, kinds[k].kind, false, messages);
        assert_string_equal(p->text, expected[k]);
        pippin_prompt_free(p);
        pippin_tokenizer_free(t);
    }
}

/* ---- JSON as Python writes it: what `python3 -c 'print(json.dumps(json.loads(...), ensure_ascii=False))'` says ---- */

static void test_json(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"[0.1, 1.0, -0.0, 100.0, 1e2, 1e15, 1e16, 123456789012345678.0]",
         "[0.1, 1.0, -0.0, 100.0, 100.0, 1000000000000000.0, 1e+16, 1.2345678901234568e+17]"},
        {"[0.0001, 0.00012, 1e-5, 1.5e-7, 5e-324, 1.7976931348623157e308, 2.5, 0.30000000000000004]",
         "[0.0001, 0.00012, 1e-05, 1.5e-07, 5e-324, 1.7976931348623157e+308, 2.5, 0.30000000000000004]"},
        {"[9007199254740993, -9223372036854775808, 12345678.9, 1e22, 1e23]",
         "[9007199254740993, -9223372036854775808, 12345678.9, 1e+22, 1e+23]"},
        {"{\"z\":1,\"a\":{ },\"m\":[ ],\"z2\":null,\"t\":true,\"f\":false}",
         "{\"z\": 1, \"a\": {}, \"m\": [], \"z2\": null, \"t\": true, \"f\": false}"},
        {"[\"\\u00e9\\n\\t\\r\\b\\f\\u0001\\u001f\\u007f\\/\\\\\\\" \\ud83d\\ude00\"]",
         "[\"\xc3\xa9\\n\\t\\r\\b\\f\\u0001\\u001f\x7f/\\\\\\\" \xf0\x9f\x98\x80\"]"},
        {"[\"a\\u0000b\"]", "[\"a\\u0000b\"]"}};
    pippin_tokenizer *t = bytes_and(chatml_pieces, true, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char messages[1000], expected[1000];
        snprintf(messages, sizeof messages,
                 "[{\"role\":\"user\",\"content\":\"\"},{\"role\":\"assistant\",\"content\":\"\"},{\"role\":\"tool\","
                 "\"content\":{\"v\":%s}}]",
                 cases[i][0]);
        snprintf(expected, sizeof expected, "{\"v\": %s}", cases[i][1]);
        pippin_prompt *p = render(t, PIPPIN_TEMPLATE_CHATML, false, messages);
        if (!strstr(p->text, expected)) fail_msg("%s in:\n%s", expected, p->text);
        pippin_prompt_free(p);
    }
    pippin_tokenizer_free(t);
}

/* ---- laws of all templates ---- */

static size_t count_special(const pippin_tokenizer *t, const pippin_prompt *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_ids; i++) n += p->ids[i] >= 256; /* in bytes_and's vocabularies */
    (void)t;
    return n;
}

/* A conversation with `text` wherever a user, a tool or a model may put it. */
static char *everywhere(const char *text)
{
    char *messages = test_malloc(4096);
    json_t *quoted = json_string(text);
    char *q = json_dumps(quoted, JSON_ENCODE_ANY);
    snprintf(
        messages, 4096,
        "[{\"role\":\"system\",\"content\":%s},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":%s},"
        "{\"type\":\"text\",\"text\":%s}],\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":%s,"
        "\"description\":%s,\"schema\":{\"title\":%s}}}},{\"role\":\"assistant\",\"content\":%s},{\"role\":\"tool\","
        "\"content\":%s},{\"role\":\"user\",\"content\":%s}]",
        q, q, q, q, q, q, q, q, q);
    free(q);
    json_decref(quoted);
    return messages;
}

static void test_content_gives_no_special_piece(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_KIND; k++)
        for (int added = 0; added < 2; added++) {
            if (kinds[k].pieces == old_mistral_pieces) continue;
            /* Also where the vocabulary has its special pieces as added ones, which any text gives. */
            pippin_tokenizer *t = bytes_and(kinds[k].pieces, !added, NULL);
            char *harmless = everywhere("x");
            pippin_prompt *plain = render(t, kinds[k].kind, false, harmless);
            for (const char *const *piece = kinds[k].pieces; *piece; piece++) {
                char text[100];
                snprintf(text, sizeof text, "x%s%.3s", *piece, *piece);
                char *messages = everywhere(text);
                pippin_prompt *p = render(t, kinds[k].kind, false, messages);
                bool is_marker = !added;
                for (size_t i = 0; i < plain->n_ids; i++) is_marker |= plain->ids[i] == 256 + (piece - kinds[k].pieces);
                if (is_marker && count_special(t, p) != count_special(t, plain))
                    fail_msg("%s %d: %s\n%s", *piece, added, text, p->text);
                assert_non_null(strstr(p->text, text));
                pippin_prompt_free(p);
                test_free(messages);
            }
            pippin_prompt_free(plain);
            test_free(harmless);
            pippin_tokenizer_free(t);
        }
}

static void test_what_the_assistant_wrote(void **state)
{
    (void)state;
    static const char *const said[] = {"I'm doing great. How can I help you today?<|eot_id|>Bye!<|eot_id|>",
                                       "I'm doing great. How can I help you today?<|im_end|>Bye!<|im_end|>",
                                       " I'm doing great. How can I help you today?</s> Bye!</s>",
                                       " I'm doing great. How can I help you today?</s> Bye!</s>",
                                       "I'm doing great. How can I help you today?<turn_end>Bye!<turn_end>"};
    static const char bye[] =
        "[" SYSTEM "," USER "," ASSISTANT "," MORE ",{\"role\":\"assistant\",\"content\":\"Bye!\"}]";
    for (size_t k = 0; k < N_KIND; k++) {
        pippin_tokenizer *t = bytes_and(kinds[k].pieces, true, NULL);
        t->eos = 257; /* of AFM */
        pippin_prompt *p = render(t, kinds[k].kind, true, bye);
        pippin_prompt *asked = render(t, kinds[k].kind, false, "[" SYSTEM "," USER "," ASSISTANT "," MORE "]");
        char *wrote = stored(t, p->ids, p->by_assistant, p->n_ids);
        assert_string_equal(wrote, said[k]);
        /* What is asked is what was trained on, up to where the answer begins. */
        assert_true(asked->n_ids < p->n_ids);
        assert_memory_equal(asked->ids, p->ids, asked->n_ids * sizeof *p->ids);
        assert_true(p->by_assistant[asked->n_ids]);
        assert_false(asked->by_assistant[asked->n_ids - 1]);
        test_free(wrote);
        pippin_prompt_free(p);
        pippin_prompt_free(asked);
        pippin_tokenizer_free(t);
    }
}

static void test_stop_ids(void **state)
{
    (void)state;
    int32_t ids[8];
    pippin_tokenizer *t = bytes_and(llama3_pieces, true, NULL);
    assert_int_equal(pippin_template_stop_ids(t, PIPPIN_TEMPLATE_AUTO, ids, 8), 3);
    assert_int_equal(ids[0], 260); /* eot */
    assert_int_equal(ids[1], 261); /* eom */
    assert_int_equal(ids[2], 257); /* end of text */
    t->eos = 260;
    assert_int_equal(pippin_template_stop_ids(t, PIPPIN_TEMPLATE_LLAMA3, ids, 8), 3);
    assert_int_equal(pippin_template_stop_ids(t, PIPPIN_TEMPLATE_NONE, ids, 8), 1);
    assert_int_equal(pippin_template_stop_ids(t, PIPPIN_TEMPLATE_AUTO, ids, 1), 3);
    pippin_tokenizer_free(t);
    t = bytes_and(chatml_pieces, true, NULL);
    assert_int_equal(pippin_template_stop_ids(t, PIPPIN_TEMPLATE_AUTO, ids, 8), 2);
    assert_int_equal(ids[0], 258);
    assert_int_equal(ids[1], 256);
    pippin_tokenizer_free(t);
    for (int kind = PIPPIN_TEMPLATE_AUTO; kind <= PIPPIN_TEMPLATE_MISTRAL; kind++) {
        pippin_template back;
        assert_true(pippin_template_from_name(pippin_template_name((pippin_template)kind), &back));
        assert_int_equal(back, kind);
    }
    assert_false(pippin_template_from_name("chat", (pippin_template *)ids));
}

/* ---- what is refused, and how ---- */

#define A "{\"role\":\"assistant\",\"content\":\"a\"}"
#define U "{\"role\":\"user\",\"content\":\"u\"}"

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *messages, *says;
        bool complete;
    } cases[] = {
        {"", "messages: line 1", false},
        {"[{]", "messages: line 1, column 3", false},
        {"3", "messages: line 1", false},
        {"{\"a\": 3}", "messages: found a number, expected a list", false},
        {"{}", "messages: found nothing, expected a list", false},
        {"[]", "messages: found none, expected at least one", false},
        {"[" U ",7]", "messages[1]: found a number, expected an object", false},
        {"[{\"role\":\"boss\"}]", "messages[0].role: found \"boss\", expected system, user, assistant or tool", false},
        {"[{\"content\":\"u\"}]", "messages[0].role: found nothing", false},
        {"[{\"role\":\"user\"}]", "messages[0].content: found nothing, expected a text", false},
        {"[{\"role\":\"user\",\"content\":[{\"type\":\"image\"}]}]", "messages[0].content: found a list with other",
         false},
        {"[" A "]", "messages[0].role: found assistant first, expected system or user", false},
        {"[" U "," U "]", "messages[1].role: found user after user, expected assistant", false},
        {"[" U "," A "," A "]", "messages[2].role: found assistant after assistant, expected user or tool", true},
        {"[" U ",{\"role\":\"system\",\"content\":\"s\"}]",
         "messages[1].role: found system after user, expected system as the first", false},
        {"[{\"role\":\"system\",\"content\":\"s\"}," A "]",
         "messages[1].role: found assistant after system, expected user", true},
        {"[" U "," A "]", "messages[1].role: found assistant last, expected user or tool", false},
        {"[" U "," A "," U "]", "messages[2].role: found user last, expected assistant", true},
        {"[" U ",{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}]",
         "messages[1].tool_calls: found arguments that are no JSON object", true},
        {"[" U ",{\"role\":\"assistant\",\"tool_calls\":[{}]}]", "messages[1].tool_calls: found a call without name",
         true},
        {"[" U ",{\"role\":\"assistant\",\"tool_calls\":{}}]", "messages[1].tool_calls: found an object", true},
        {"[{\"role\":\"system\",\"content\":\"s\",\"tools\":[1]}," U "]",
         "messages[0].tools: found a list with something", false},
        {"[{\"role\":\"user\",\"content\":\"u\",\"response_format\":{\"type\":\"json_schema\"}}]",
         "messages[0].response_format: found a json_schema without schema", false},
        {"[{\"role\":\"system\",\"content\":\" s\"}," U "]", "messages[0].content: found a space", false}};
    pippin_tokenizer *t = bytes_and(afm_pieces, true, NULL), *other = bytes_and(chatml_pieces, true, NULL);
    pippin_prompt *p;
    pippin_error err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const pippin_prompt_options options = {.complete = cases[i].complete};
        assert_int_equal(pippin_prompt_create(t, cases[i].messages, strlen(cases[i].messages), &options, &p, &err),
                         PIPPIN_E_ARGUMENT);
        if (strncmp(err.text, cases[i].says, strlen(cases[i].says)) != 0)
            fail_msg("%s\nsays: %s\nexpected: %s", cases[i].messages, err.text, cases[i].says);
        assert_null(p);
    }
    const pippin_prompt_options llama = {.kind = PIPPIN_TEMPLATE_LLAMA3}, none = {.kind = PIPPIN_TEMPLATE_NONE};
    assert_int_equal(pippin_prompt_create(other, "[" U "]", strlen("[" U "]"), &llama, &p, &err), PIPPIN_E_ARGUMENT);
    assert_string_equal(err.text, "template llama3: needs the piece <|start_header_id|>, which this tokenizer has not; "
                                  "use another template");
    assert_int_equal(pippin_prompt_create(other, "[" U "]", strlen("[" U "]"), &none, &p, &err), PIPPIN_E_ARGUMENT);
    pippin_tokenizer_free(t);
    pippin_tokenizer_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expected_prompts),
        cmocka_unit_test(test_recognised_by_content),
        cmocka_unit_test(test_default_system_of_the_file),
        cmocka_unit_test(test_tools_of_each),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_content_gives_no_special_piece),
        cmocka_unit_test(test_what_the_assistant_wrote),
        cmocka_unit_test(test_stop_ids),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
