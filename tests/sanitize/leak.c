/* A defect to be reported: an object that Rust code allocated is never freed. */
#include "check.h"

int main(void) {
    mlfa_config *config = UNTOUCHED;
    CHECK_OK(mlfa_config_new(&config, &error));
    config = NULL;
    return passed();
}
