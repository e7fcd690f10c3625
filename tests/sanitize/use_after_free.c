/* A defect to be reported: Rust code reads a handle that was freed. */
#include "check.h"

int main(void) {
    mlfa_context *context = new_context();
    mlfa_store *store = open_store(context, "memory:");
    mlfa_store_release(store);
    CHECK_TEXT(mlfa_store_scheme(store), "memory");
    mlfa_context_release(context);
    return passed();
}
