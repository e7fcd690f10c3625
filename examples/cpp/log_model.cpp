/*
 * Logs a model directory to an artifact store, lists it, reads it back and compares every byte: examples/c/log_model.c in C++.
 *
 *     log_model MODEL_DIRECTORY STORE_URI TARGET_DIRECTORY
 *
 * MODEL_DIRECTORY  a directory that mlflow.<flavor>.save_model wrote
 * STORE_URI        any store: file:///srv/artifacts, memory:, ...
 * TARGET_DIRECTORY where the copy goes that is read back
 *
 * Build: c++ -std=c++17 log_model.cpp $(pkg-config --cflags --libs mlflow_artifacts)
 */
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <iterator>

#include <mlflow_artifacts.hpp>

namespace mlfa = mlflow_artifacts;
namespace fs = std::filesystem;

// MLflow keeps a run's artifacts at <experiment id>/<run id>/artifacts.
static constexpr std::string_view MODEL_PATH = "1/0123456789abcdef/artifacts/model";

static bool show_progress(const mlfa::Progress &progress) {
    std::cout << "  " << progress.files_done << " of " << progress.files_found << " files, " << progress.bytes_done
              << " of " << progress.bytes_found << " bytes\n";
    return true; // false, or an exception, cancels
}

static bool same_file(const fs::path &first_path, const fs::path &second_path) {
    std::ifstream first(first_path, std::ios::binary);
    std::ifstream second(second_path, std::ios::binary);
    using Bytes = std::istreambuf_iterator<char>;
    return first && second && std::equal(Bytes(first), Bytes(), Bytes(second), Bytes());
}

static void upload(const mlfa::Store &store, const std::string &model) {
    mlfa::TransferOptions options;
    options.verify = MLFA_VERIFY_READ_BACK;
    options.progress = show_progress;
    std::cout << "store " << model << " in " << store.root() << " at " << MODEL_PATH << '\n';
    const mlfa::Report report = store.upload_tree(model, MODEL_PATH, options);
    std::size_t stored = 0;
    for (std::size_t index = 0; index < report.size(); index++) {
        stored += report.outcome(index) == MLFA_OUTCOME_TRANSFERRED;
    }
    std::cout << "stored " << stored << " files\n";
}

static void list(const mlfa::Store &store) {
    for (const mlfa::Entry &entry : store.list(MODEL_PATH, MLFA_LIST_RECURSIVE)) {
        std::cout << "  " << std::setw(10) << entry.size() << ' ' << entry.path() << (entry.is_directory() ? "/" : "")
                  << '\n';
    }
}

// Fetches the model and answers how many of its files differ from the original.
static std::size_t fetch_and_compare(const mlfa::Store &store, const fs::path &model, const fs::path &target) {
    const mlfa::Report report = store.download_tree(MODEL_PATH, target.string());
    std::cout << "read " << report.size() << " files back into " << target.string() << '\n';
    std::size_t different = 0;
    for (std::size_t index = 0; index < report.size(); index++) {
        const fs::path name = report.name(index);
        if (!same_file(model / name, target / name)) {
            std::cout << name.string() << " differs\n";
            different++;
        }
    }
    return different;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        std::cerr << "usage: log_model MODEL_DIRECTORY STORE_URI TARGET_DIRECTORY\n";
        return 2;
    }
    try {
        std::cout << "libmlflow_artifacts " << mlfa_version_string() << '\n';
        const mlfa::Context context;
        const mlfa::Store store(context, argv[2]);
        upload(store, argv[1]);
        list(store);
        const bool identical = fetch_and_compare(store, argv[1], argv[3]) == 0;
        std::cout << (identical ? "identical" : "DIFFERENT") << '\n';
        return identical ? EXIT_SUCCESS : EXIT_FAILURE;
    } catch (const mlfa::Error &error) {
        std::cerr << "log_model: " << error.name() << ": " << error.what() << '\n';
        return EXIT_FAILURE;
    }
}
