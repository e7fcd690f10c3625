/*
 * Counts the bytes that a program copies: to be loaded before the C library (LD_PRELOAD). When the program ends, their number is
 * in the file that the environment variable COPIES names.
 *
 * What is not seen: copies of a fixed, small size, which compilers write out, and those inside of the C library, such as when
 * realloc moves a block.
 */
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static atomic_ullong copied;

/* Byte by byte, and so that the compiler does not make a call of memcpy of it: nothing here is timed. */
static void *count(void *target, const void *source, size_t size) {
    volatile uint8_t *to = target;
    const uint8_t *from = source;
    atomic_fetch_add_explicit(&copied, size, memory_order_relaxed);
    if ((uintptr_t)to < (uintptr_t)from) {
        for (size_t at = 0; at < size; at++) {
            to[at] = from[at];
        }
    } else {
        for (size_t at = size; at > 0; at--) {
            to[at - 1] = from[at - 1];
        }
    }
    return target;
}

void *memmove(void *target, const void *source, size_t size) {
    return count(target, source, size);
}

void *memcpy(void *restrict target, const void *restrict source, size_t size) {
    return count(target, source, size);
}

__attribute__((destructor)) static void tell(void) {
    const char *path = getenv("COPIES");
    FILE *file = path == NULL ? NULL : fopen(path, "w");
    if (file != NULL) {
        fprintf(file, "%llu\n", atomic_load(&copied));
        fclose(file);
    }
}
