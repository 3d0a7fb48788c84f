/* Messages, memory, texts, numbers and hashes. */
#include "base/base.h"
#include "fail_alloc.h"

#include <criterion/criterion.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdalign.h>
#include <string.h>

/* ---- Messages -------------------------------------------------------------------------------------------------------------------- */

Test(status, a_callers_text_comes_before_the_message)
{
    cr_assert_str_eq(aval_error(), "");
    cr_assert_eq(aval__fail(AVAL_E_SHAPE, "expected %d axes", 2), AVAL_E_SHAPE);
    cr_assert_eq(aval__fail_in(AVAL_E_PLUGIN, "op '%s'", "Conv"), AVAL_E_PLUGIN);
    cr_assert_str_eq(aval_error(), "op 'Conv': expected 2 axes");
    aval__fail(AVAL_E_SHAPE, "again: %s", aval_error());
    cr_assert_str_eq(aval_error(), "again: op 'Conv': expected 2 axes");
}

Test(status, a_message_longer_than_its_room_is_cut)
{
    for (int i = 0; i < 1000; i++) aval__fail_in(AVAL_E_IO, "outer text %d", i);
    cr_assert_lt(strlen(aval_error()), 4096);
    cr_assert(strncmp(aval_error(), "outer text 999: outer text 998", 30) == 0);
}

static void *fail_elsewhere(void *unused)
{
    (void)unused;
    aval__fail(AVAL_E_IO, "there");
    return NULL;
}

Test(status, each_thread_has_a_message_of_its_own)
{
    pthread_t thread;
    aval__fail(AVAL_E_IO, "here");
    cr_assert_eq(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
    pthread_join(thread, NULL);
    cr_assert_str_eq(aval_error(), "here");
}

Test(status, every_code_has_name_and_text_and_other_numbers_are_told_apart)
{
    cr_assert_str_eq(aval_status_name(AVAL_E_SHAPE), "AVAL_E_SHAPE");
    cr_assert_str_eq(aval_status_text(AVAL_OK), "success");
    cr_assert_str_eq(aval_status_name(-1000), "?");
    cr_assert_str_eq(aval_version(), "0.1.0");
    cr_assert_str_eq(aval_type_name(AVAL_INT64), "int64");
    cr_assert_eq(aval_type_bytes(AVAL_FLOAT16), 2);
    cr_assert_str_eq(aval_type_name(-1), "?");
    cr_assert_eq(aval_type_bytes(AVAL_TYPES), 0);
    for (int type = 0; type < AVAL_TYPES; type++) cr_assert_not_null(aval_type_name(type));
}

/* ---- Memory ----------------------------------------------------------------------------------------------------------------------- */

Test(memory, sizes_that_overflow_are_refused_and_empty_ones_are_valid)
{
    char *nothing = aval__alloc(0);
    cr_assert_not_null(nothing);
    cr_assert_null(aval__alloc_array(SIZE_MAX / 2, 4));
    cr_assert(strstr(aval_error(), "out of memory"));
    cr_assert_null(aval__resize(nothing, SIZE_MAX / 2, 4));
    aval__free(nothing);
    aval__arena arena = { 0 };
    cr_assert_null(aval__arena_alloc(&arena, SIZE_MAX));
    cr_assert_null(aval__arena_alloc(&arena, SIZE_MAX - 64));
    cr_assert_null(aval__copy_text(NULL));
    aval__arena_release(&arena);
}

Test(arena, blocks_are_zeroed_aligned_and_apart_at_any_size)
{
    aval__arena arena = { 0 };
    unsigned char *before = NULL;
    size_t bytes_before = 0;
    for (size_t bytes = 0; bytes < 200000; bytes = bytes * 2 + 1) {
        unsigned char *at = aval__arena_alloc(&arena, bytes);
        cr_assert_not_null(at);
        cr_assert_eq((uintptr_t)at % alignof(max_align_t), 0);
        for (size_t i = 0; i < bytes; i++) cr_assert_eq(at[i], 0);
        memset(at, 0xff, bytes);
        cr_assert(!before || at >= before + bytes_before || at + bytes <= before);
        before = at;
        bytes_before = bytes;
    }
    aval__arena_release(&arena);
    cr_assert_str_eq(aval__arena_text(&arena, "usable again"), "usable again");
    aval__arena_release(&arena);
}

Test(vec, keeps_its_items_when_growth_fails)
{
    AVAL__VEC(int) v = { 0 };
    for (int i = 0; i < 8; i++) cr_assert_eq(aval__vec_push(&v, i), AVAL_OK);
    fail_alloc_at(1);
    cr_assert_eq(aval__vec_push(&v, 8), AVAL_E_MEMORY);
    fail_alloc_off();
    cr_assert_eq(v.count, 8);
    for (int i = 0; i < 8; i++) cr_assert_eq(v.at[i], i);
    cr_assert_eq(aval__vec_push(&v, 8), AVAL_OK);
    cr_assert_eq(v.at[8], 8);
    aval__vec_release(&v);
    cr_assert_eq(v.capacity, 0);
}

/* ---- Texts and numbers -------------------------------------------------------------------------------------------------------------- */

Test(text, a_failed_append_leaves_the_text_valid_and_take_tells)
{
    aval__text t = { 0 };
    aval__text_add(&t, "%s", "start");
    fail_alloc_at(1);
    for (int i = 0; i < 100; i++) aval__text_add(&t, " %d", i);
    fail_alloc_off();
    cr_assert(t.failed);
    cr_assert_eq(strlen(t.at), t.length);
    cr_assert_null(aval__text_take(&t));
    char *empty = aval__text_take(&t);
    cr_assert_str_eq(empty, "");
    aval__free(empty);
}

Test(text, the_distance_of_words_counts_letters_that_differ)
{
    cr_assert_eq(aval_word_distance("Softmax", "Softmax"), 0);
    cr_assert_eq(aval_word_distance("Sofmax", "Softmax"), 1);
    cr_assert_eq(aval_word_distance("kitten", "sitting"), 3);
    cr_assert_eq(aval_word_distance("", "abc"), 3);
    cr_assert_eq(aval_word_distance("abc", NULL), 3);
    cr_assert_eq(aval_word_distance(NULL, "abc"), 3);
    cr_assert_eq(aval_word_distance("a", "0123456789012345678901234567890123456789012345678901234567890123456789"), 70);
}

Test(text, numbers_read_back_bit_for_bit_in_a_locale_with_commas)
{
    static const double numbers[] = {
        0, -0.0, 0.1, 1.0 / 3, 1e-5, 5e-324, 1.7976931348623157e308, -123456789.125, 1e22, INFINITY, -INFINITY
    };
    setlocale(LC_ALL, "de_DE.UTF-8"); /* where it is not installed the C locale stays, and the test is weaker */
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        aval__text t = { 0 };
        const char *end;
        double back;
        aval__text_real(&t, numbers[i]);
        cr_assert_null(strchr(t.at, ','));
        cr_assert(aval__parse_real(t.at, &end, &back) && !*end);
        cr_assert_eq(memcmp(&back, &numbers[i], sizeof back), 0, "%s", t.at);
        aval__text_release(&t);
    }
}

Test(text, integers_are_decimal_or_hexadecimal_and_refused_out_of_range)
{
    const char *end;
    int64_t x;
    cr_assert(aval__parse_int("010,", &end, &x) && x == 10 && *end == ',');
    cr_assert(aval__parse_int("-0x10", &end, &x) && x == -16);
    cr_assert(aval__parse_int("-9223372036854775808", &end, &x) && x == INT64_MIN);
    cr_assert(!aval__parse_int("9223372036854775808", &end, &x));
    cr_assert(!aval__parse_int("x", &end, &x));
    cr_assert(!aval__parse_int("", &end, &x));
}

/* ---- Hashes and log ------------------------------------------------------------------------------------------------------------------ */

Test(hash, follows_every_bit_and_prints_as_32_digits)
{
    unsigned char data[64] = { 0 };
    aval__hash zero = aval__hash_bytes(data, sizeof data);
    char text[33];
    for (size_t bit = 0; bit < sizeof data * 8; bit++) {
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        aval__hash h = aval__hash_bytes(data, sizeof data);
        cr_assert(h.low != zero.low && h.high != zero.high);
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    aval__hash_text((aval__hash){ .low = 0xabc, .high = 1 }, text);
    cr_assert_str_eq(text, "00000000000000010000000000000abc");
    cr_assert_neq(aval__hash64(data, 8, 1), aval__hash64(data, 8, 2));
}

static void count_length(void *user, int level, const char *message)
{
    if (level == AVAL_LOG_INFO) *(size_t *)user = strlen(message);
}

Test(log, long_messages_come_whole_or_cut_when_memory_is_short)
{
    size_t length = 0;
    aval__log log = { .function = count_length, .user = &length };
    aval__log_write(&log, AVAL_LOG_INFO, "%5000d", 1);
    cr_assert_eq(length, 5000);
    fail_alloc_at(1);
    aval__log_write(&log, AVAL_LOG_INFO, "%5000d", 1);
    fail_alloc_off();
    cr_assert_eq(length, 1023);
    aval__log_write(NULL, AVAL_LOG_INFO, "dropped");
}
