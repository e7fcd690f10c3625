/*
 * The last reference to a Rust Arc is given up by a release operation and then a fence. ThreadSanitizer sees no fences, and would
 * take the freeing for a race with what other threads did before they gave up theirs. So the operation is made one that also
 * acquires. (The standard library does that itself where it is compiled for ThreadSanitizer.)
 *
 * Linked with --wrap: the first name is what instrumented code calls, the second is the runtime's own.
 */
#include <stdint.h>

int64_t __wrap___tsan_atomic64_fetch_sub(volatile int64_t *at, int64_t value, int order);
int64_t __real___tsan_atomic64_fetch_sub(volatile int64_t *at, int64_t value, int order);

int64_t __wrap___tsan_atomic64_fetch_sub(volatile int64_t *at, int64_t value, int order) {
    return __real___tsan_atomic64_fetch_sub(at, value, order == __ATOMIC_RELEASE ? __ATOMIC_ACQ_REL : order);
}
