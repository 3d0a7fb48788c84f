/* Allocations of the code under test can be made to fail, and are counted, so that a test can fail each in turn:
 *
 *     for (size_t n = 1;; n++) {
 *         fail_alloc_at(n);
 *         int status = work();
 *         cr_assert(status == AVAL_OK || status == AVAL_E_MEMORY);
 *         cr_assert_eq(fail_alloc_outstanding(), 0);
 *         if (fail_alloc_count() < n) break;
 *     }
 *
 * Works by the linker's --wrap, so only calls from objects in the test program are seen, not those inside shared libraries. */
#ifndef AVAL_TESTS_FAIL_ALLOC_H
#define AVAL_TESTS_FAIL_ALLOC_H

#include <stddef.h>

/* Starts counting afresh; the n-th allocation (from 1) from here on fails, once.  0: none fails. */
void fail_alloc_at(size_t n);
/* No allocation fails or is counted any more. */
void fail_alloc_off(void);
/* Allocations asked for since then, the failed one included. */
size_t fail_alloc_count(void);
/* Of these, those that were not given back. */
size_t fail_alloc_outstanding(void);

#endif
