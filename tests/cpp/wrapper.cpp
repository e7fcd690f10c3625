// Every class of mlflow_artifacts.hpp, in use, moved, empty and failing. Started in an empty directory: its argument.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <type_traits>

#include <mlflow_artifacts.hpp>

using namespace mlflow_artifacts;
using namespace std::chrono_literals;

static std::size_t checks = 0;

#define CHECK(condition) check((condition), __LINE__, #condition)

static void check(bool holds, int line, const char *condition) {
    checks++;
    if (!holds) {
        std::fprintf(stderr, "%s:%d: %s\n", __FILE__, line, condition);
        std::_Exit(EXIT_FAILURE);
    }
}

// The status of the Error that the call throws; MLFA_OK if it throws none.
template <class Call> static mlfa_status status_of(Call call) {
    try {
        call();
    } catch (const Error &error) {
        CHECK(error.what()[0] != '\0');
        return error.status();
    }
    return MLFA_OK;
}

static_assert(std::is_copy_constructible_v<Store> && std::is_copy_constructible_v<Bytes>);
static_assert(!std::is_copy_constructible_v<Reader> && std::is_nothrow_move_constructible_v<Reader>);
static_assert(!std::is_copy_constructible_v<Task> && std::is_nothrow_move_assignable_v<Task>);
static_assert(!std::is_copy_constructible_v<Queue> && std::is_nothrow_move_assignable_v<Queue>);
static_assert(!std::is_copy_constructible_v<Meta> && std::is_nothrow_move_constructible_v<Meta>);
static_assert(std::is_nothrow_copy_constructible_v<Error>);

struct Thrown {};

static void write_file(const std::string &name, std::string_view content) {
    std::ofstream(name, std::ios::binary) << content;
}

static void errors(const Context &context, const Store &store) {
    try {
        store.stat("not/there");
        CHECK(false);
    } catch (const std::exception &caught) {
        const auto *error = dynamic_cast<const Error *>(&caught);
        CHECK(error != nullptr);
        const Error copy = *error;
        CHECK(copy.status() == MLFA_E_NOT_FOUND);
        CHECK(copy.name() == "not_found");
        CHECK(copy.path() == "not/there");
        CHECK(copy.operation() == "stat");
        CHECK(copy.http_status() == 0 && copy.provider_code().empty());
        CHECK(!copy.retryable() && copy.retry_after() == 0ms);
        CHECK(!copy.detail().empty() && !copy.report());
    }
    CHECK(status_of([&] { Store(context, "nonsense://x"); }) == MLFA_E_UNKNOWN_SCHEME);
    CHECK(status_of([&] { store.put("a/../b", ""); }) == MLFA_E_INVALID_PATH);
    CHECK(status_of([&] { store.put("", ""); }) != MLFA_OK);
    const char wrong[] = "\xff";
    CHECK(status_of([&] { store.stat(wrong); }) == MLFA_E_INVALID_UTF8);
    CHECK(status_of([&] { Store(context, "memory:", Config().set("no_such_option", "1")); }) == MLFA_E_INVALID_CONFIG);
    ContextOptions nothing;
    nothing.trusted_uris.emplace();
    CHECK(status_of([&] { Store(Context(nothing), "file:///tmp"); }) == MLFA_E_HOST_NOT_ALLOWED);
    // A tree of which some files fail tells which, also when the error is gone.
    std::optional<Report> report;
    std::filesystem::create_directories("half");
    write_file("half/good", "good");
    write_file("half/bad", "bad");
    store.put("half/bad/in-the-way", "");
    try {
        store.upload_tree("half", "half");
        CHECK(false);
    } catch (const Error &error) {
        report = error.report();
    }
    CHECK(report && report->size() == 2);
    for (std::size_t index = 0; index < report->size(); index++) {
        const bool bad = report->name(index) == "bad";
        CHECK(report->outcome(index) == (bad ? MLFA_OUTCOME_FAILED : MLFA_OUTCOME_TRANSFERRED));
        CHECK((report->status(index) == MLFA_OK) == !bad);
        CHECK(report->message(index).empty() == !bad);
        CHECK(report->bytes(index) == (bad ? 0 : 4));
    }
    store.remove("half", MLFA_DELETE_RECURSIVE);
}

static void content(const Store &store) {
    store.put("a.txt", "first");
    store.put_owned("b.txt", std::string(100, 'b'));
    Bytes bytes = store.get_bytes("a.txt");
    const Bytes copy = bytes;
    Bytes moved = std::move(bytes);
    CHECK(copy.view() == "first" && moved.data() == copy.data() && moved[0] == 'f' && moved.size() == 5);
    CHECK(std::string(moved.begin(), moved.end()) == "first");
    CHECK(bytes.empty() && bytes.view().empty() && !bytes);
    CHECK(store.get_bytes("a.txt", 1, 3).view() == "irs");
    char buffer[10];
    CHECK(store.get_into("a.txt", 3, buffer, sizeof buffer) == 2 && buffer[0] == 's');

    PutOptions once;
    once.mode = MLFA_PUT_CREATE_NEW;
    CHECK(status_of([&] { store.put("a.txt", "second", once); }) == MLFA_E_ALREADY_EXISTS);
    if (store.can(MLFA_CAPABILITY_REPLACE_IF_MATCH)) {
        PutOptions replace;
        replace.mode = MLFA_PUT_IF_MATCH;
        replace.if_match = store.stat("a.txt").etag();
        store.put("a.txt", "second", replace);
        CHECK(status_of([&] { store.put("a.txt", "third", replace); }) == MLFA_E_PRECONDITION_FAILED);
    }
    store.put("a.txt", std::string_view());
    Meta meta = store.stat("a.txt");
    Meta other = std::move(meta);
    CHECK(other.path() == "a.txt" && other.size() == 0 && !other.is_directory() && other.modified());
    CHECK(meta.path().empty() && meta.size() == 0);

    store.create_directory("d");
    if (store.can(MLFA_CAPABILITY_COPY)) {
        store.copy("b.txt", "d/c.txt");
        CHECK(store.stat("d/c.txt").size() == 100);
    } else {
        store.put("d/c.txt", "");
    }
    std::multiset<std::string> names;
    for (const Entry &entry : store.list("", MLFA_LIST_RECURSIVE)) {
        names.emplace(entry.path());
    }
    CHECK((names == std::multiset<std::string>{"a.txt", "b.txt", "d", "d/c.txt"}));
    List list = store.list("");
    List rest = std::move(list);
    CHECK(rest.next() && status_of([&] { list.next(); }) == MLFA_E_NULL_POINTER);
    CHECK(rest.next_batch(10)->size() == 2 && !rest.next_batch(10) && !rest.next());
    CHECK(store.remove("d", MLFA_DELETE_RECURSIVE) && !store.remove("d"));
    CHECK(status_of([&] { store.presign("a.txt", MLFA_PRESIGN_GET, 60s); }) == MLFA_E_UNSUPPORTED);
    const SignedRequest unsigned_request;
    CHECK(unsigned_request.url().empty() && unsigned_request.method().empty() && unsigned_request.size() == 0);
}

static void streams(const Store &store) {
    Writer writer = store.writer("stream");
    writer.write("one ");
    Writer moved = std::move(writer);
    moved.write("two");
    CHECK(status_of([&] { store.stat("stream"); }) == MLFA_E_NOT_FOUND);
    CHECK(moved.finish().size() == 7);
    CHECK(status_of([&] { writer.write(""); }) == MLFA_E_NULL_POINTER);
    Writer given_up = store.writer("given-up", 3);
    given_up.write("x");
    given_up.abort();
    Writer wrong = store.writer("wrong", 3);
    CHECK(status_of([&] { wrong.write("x"), wrong.finish(); }) == MLFA_E_SIZE_MISMATCH);

    Reader reader = store.reader("stream");
    Reader second;
    second = std::move(reader);
    CHECK(second.meta().size() == 7 && second.meta().path() == "stream");
    char buffer[4];
    CHECK(second.read(buffer, 4) == 4 && std::string_view(buffer, 4) == "one ");
    second.seek(6);
    CHECK(second.read_chunk()->view() == "o" && !second.read_chunk());
}

static void parts(const Store &store) {
    if (!store.can(MLFA_CAPABILITY_MULTIPART)) {
        CHECK(status_of([&] { store.multipart("parts"); }) == MLFA_E_UNSUPPORTED);
        return;
    }
    const std::uint64_t size = store.multipart("probe").part_size();
    Multipart upload = store.multipart("parts", MLFA_LENGTH_UNKNOWN, size);
    const std::string first(upload.part_size(), '1');
    Multipart copy = upload;
    Task task = copy.put_part_start(2, "2");
    upload.put_part(1, first);
    task.wait();
    CHECK(task.take_meta()->size() == 1);
    if (store.can(MLFA_CAPABILITY_RESUME_UPLOAD)) {
        CHECK(!upload.token().empty());
        store.resume("parts", upload.token());
    }
    CHECK(upload.complete().size() == first.size() + 1);
    CHECK(status_of([&] { copy.abort(); }) == MLFA_E_INVALID_ARGUMENT);
    store.remove("parts");
}

static void properties(const Store &store) {
    Properties given;
    given.add("stage", "test").add("stage", "production");
    const Properties moved = std::move(given);
    CHECK(moved.size() == 2 && moved.name(1) == "stage" && moved.value(1) == "production" && given.size() == 0);
    PutOptions options;
    options.properties = &moved;
    if (store.can(MLFA_CAPABILITY_PROPERTIES)) {
        store.put("with", "", options);
        CHECK(store.properties("with").size() == 2);
    } else {
        CHECK(status_of([&] { store.put("with", "", options); }) == MLFA_E_UNSUPPORTED);
        CHECK(status_of([&] { store.properties("stream"); }) == MLFA_E_UNSUPPORTED);
    }
    store.describe();
}

static void transfers(const Store &store) {
    std::filesystem::create_directories("tree");
    for (int number = 0; number < 20; number++) {
        write_file("tree/" + std::to_string(number), std::string(1000, 'x'));
    }
    std::uint64_t done = 0;
    TransferOptions options;
    options.files = 2;
    options.verify = MLFA_VERIFY_READ_BACK;
    options.progress = [&](const Progress &progress) {
        done = progress.files_done;
        return true;
    };
    CHECK(store.upload_tree("tree", "tree", options).size() == 20 && done == 20);
    CHECK(store.download_tree("tree", "fetched").size() == 20);
    store.upload_file("tree/1", "file");
    store.download_file("file", "file");
    CHECK(std::filesystem::file_size("file") == 1000);

    // What a progress function throws comes out of the call that it was given to, whatever else became of that.
    TransferOptions throwing;
    throwing.progress_interval = 1ms;
    throwing.progress = [](const Progress &) -> bool { throw Thrown(); };
    int thrown = 0;
    for (int round = 0; round < 2; round++) {
        try {
            round == 0 ? (void)store.upload_tree("tree", "thrown", throwing) : store.upload_file("tree/1", "thrown.1", throwing);
        } catch (const Thrown &) {
            thrown++;
        }
    }
    Task task = store.download_tree_start("tree", "thrown", throwing);
    Task moved = std::move(task);
    moved.wait();
    try {
        moved.take_report();
    } catch (const Thrown &) {
        thrown++;
    }
    CHECK(thrown == 3);
    // The same through a queue, where the function goes along with the task.
    Queue queue;
    queue.add(store.download_tree_start("tree", "thrown", throwing), 7);
    Queue::Finished finished = queue.next();
    try {
        finished.task.result();
    } catch (const Thrown &) {
        thrown++;
    }
    CHECK(thrown == 4 && finished.tag == 7);
}

static void tasks(const Store &store) {
    store.put("task", "content");
    Task task = store.get_bytes_start("task");
    std::atomic<int> called{0};
    task.on_done([&] { called++; });
    CHECK(status_of([&] { task.on_done([] {}); }) == MLFA_E_INVALID_ARGUMENT);
    while (!task.wait(1000ms)) {
    }
    CHECK(task.is_done());
    CHECK(task.progress().struct_size == sizeof(Progress));
    CHECK(task.take_bytes()->view() == "content");
    CHECK(status_of([&] { task.take_bytes(); }) == MLFA_E_INVALID_ARGUMENT);
    while (called == 0) {
    }
    task = store.stat_start("not/there");
    task.wait();
    CHECK(status_of([&] { task.result(); }) == MLFA_E_NOT_FOUND);
    CHECK(status_of([&] { task.take_meta(); }) == MLFA_E_NOT_FOUND);
    CHECK(called == 1);

    Task opening = store.reader_start("task");
    opening.wait();
    Reader reader = opening.take_reader();
    Task chunk = reader.read_chunk_start();
    chunk.wait();
    CHECK(chunk.take_bytes()->view() == "content");
    chunk = reader.read_chunk_start();
    chunk.wait();
    CHECK(!chunk.take_bytes());
    Writer writer = store.writer("task");
    Task written = writer.write_start("more");
    written.wait();
    written.result();
    written = writer.finish_start();
    written.wait();
    CHECK(written.take_meta()->size() == 4);
    written = store.remove_start("task");
    written.wait();
    CHECK(written.take_count() == 1);
    List list = store.list("tree");
    Task batch = list.next_batch_start(100);
    batch.wait();
    CHECK(batch.take_entries()->size() == 20);
    Task empty;
    empty.cancel();
    CHECK(!empty && empty.is_done() && status_of([&] { empty.result(); }) == MLFA_E_NULL_POINTER);

    Queue first;
    Queue queue = std::move(first);
    CHECK(!queue.next(0ms) && queue.descriptor() >= 0 && first.descriptor() == -1);
    std::set<std::uint64_t> tags;
    for (std::uint64_t tag = 0; tag < 20; tag++) {
        Task started = store.stat_start("tree/" + std::to_string(tag));
        started.on_done([&] { called++; });
        queue.add(std::move(started), tag);
    }
    for (int number = 0; number < 20; number++) {
        Queue::Finished finished = queue.next();
        CHECK(finished.task.take_meta()->path() == "tree/" + std::to_string(finished.tag));
        tags.insert(finished.tag);
    }
    CHECK(tags.size() == 20);
    CHECK(status_of([&] { first.add(store.stat_start(""), 0); }) == MLFA_E_NULL_POINTER);
    // What is left in a queue is dropped with it.
    queue.add(store.download_tree_start("tree", "dropped"), 0);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: %s EMPTY_DIRECTORY\n", argv[0]);
        return 2;
    }
    std::filesystem::current_path(argv[1]);
    ContextOptions options;
    options.worker_threads = 2;
    Context context(options);
    const Context same = context;
    const Context moved = std::move(context);
    CHECK(!context && same.get() == moved.get());
    for (const std::string &uri : {std::string("memory:"), "file://" + std::filesystem::current_path().string() + "/store"}) {
        Store opened(moved, uri, Config().load_env());
        const Store copy = opened;
        const Store store = std::move(opened);
        CHECK(!opened && opened.root().empty() && copy.get() == store.get());
        CHECK(status_of([&] { opened.stat(""); }) == MLFA_E_NULL_POINTER);
        CHECK(status_of([&] { opened.put_owned("a", std::string(100, 'a')); }) == MLFA_E_NULL_POINTER);
        CHECK(uri.find(store.scheme()) == 0 && !store.root().empty());
        errors(moved, store);
        content(store);
        streams(store);
        parts(store);
        properties(store);
        transfers(store);
        tasks(store);
    }
    std::printf("ok: %zu checks\n", checks);
    return EXIT_SUCCESS;
}
