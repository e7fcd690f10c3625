// The header compiles as C++, included twice, without padding in its structs.
#pragma GCC diagnostic error "-Wpadded"
#include <mlflow_artifacts.h>
#include <mlflow_artifacts.h>

int main() {
    mlfa_context_options context = MLFA_CONTEXT_OPTIONS_INIT;
    mlfa_put_options put = MLFA_PUT_OPTIONS_INIT;
    mlfa_transfer_options transfer = MLFA_TRANSFER_OPTIONS_INIT;
    bool is_initialised = context.struct_size == sizeof context && put.struct_size == sizeof put &&
                          transfer.struct_size == sizeof transfer;
    return is_initialised && mlfa_abi_version() == MLFA_ABI_VERSION ? 0 : 1;
}
