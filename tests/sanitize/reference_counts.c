/*
 * The last reference to a Rust Arc is given up, or its value taken out, by an operation and then a fence. ThreadSanitizer
 * sees no fences, and would take the freeing for a race with what other threads did before they gave up theirs. So the
 * operation is made one that also acquires. (The standard library does that itself where it is compiled for
 * ThreadSanitizer.)
 *
 * Linked with --wrap: the first name is what instrumented code calls, the second is the runtime's own.
 */
#include <stdint.h>

int64_t __wrap___tsan_atomic64_fetch_sub(volatile int64_t *at, int64_t value, int order);
int64_t __real___tsan_atomic64_fetch_sub(volatile int64_t *at, int64_t value, int order);

/* Arc's drop, and that of our own handles. */
int64_t __wrap___tsan_atomic64_fetch_sub(volatile int64_t *at, int64_t value, int order) {
    return __real___tsan_atomic64_fetch_sub(at, value, order == __ATOMIC_RELEASE ? __ATOMIC_ACQ_REL : order);
}

int64_t __wrap___tsan_atomic64_compare_exchange_val(volatile int64_t *at, int64_t expected, int64_t value, int order,
                                                    int order_of_failure);
int64_t __real___tsan_atomic64_compare_exchange_val(volatile int64_t *at, int64_t expected, int64_t value, int order,
                                                    int order_of_failure);

/* Arc::try_unwrap: from one reference to none. No other exchange is touched. */
int64_t __wrap___tsan_atomic64_compare_exchange_val(volatile int64_t *at, int64_t expected, int64_t value, int order,
                                                    int order_of_failure) {
    int is_unwrapping = expected == 1 && value == 0 && order == __ATOMIC_RELAXED;
    return __real___tsan_atomic64_compare_exchange_val(at, expected, value, is_unwrapping ? __ATOMIC_ACQUIRE : order,
                                                       order_of_failure);
}
