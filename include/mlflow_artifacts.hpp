/*
 * mlflow-artifacts for C++17: the handles of mlflow_artifacts.h as classes, its errors as exceptions. Header-only; link the
 * same library.
 *
 * - Ownership: an object owns its handle and gives it back when it is destroyed, in any order. Classes on Shared can be
 *   copied: a copy is one more reference to the same thing. All others can only be moved. A default constructed or moved
 *   from object is empty: what is called with it throws MLFA_E_NULL_POINTER, or answers 0 or an empty string.
 * - Failures throw Error. Nothing is ever thrown through the library: what a progress function throws is kept, cancels the
 *   transfer and is thrown again by the call that began it, or by the task's result() and take_...().
 * - Strings are std::string_view, paths and URIs UTF-8. A string that is answered lives as long as the object that answers
 *   it. Content is a std::string_view of its bytes, see bytes_of().
 * - Every function blocks until it is done, but for those that answer a Task, which begin and return at once.
 * - The constants of the C header serve here too: MLFA_E_NOT_FOUND, MLFA_CAPABILITY_RANGE, MLFA_TO_THE_END.
 */
#ifndef MLFLOW_ARTIFACTS_HPP
#define MLFLOW_ARTIFACTS_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mlflow_artifacts.h"

namespace mlflow_artifacts {

class Task;

/** Where a transfer stands. */
using Progress = mlfa_progress;

/** Is told where a transfer stands; answers whether it is to go on. May throw, which cancels the transfer. Of a transfer that
 *  was begun with a ..._start function it is called on a thread of the library, where it must not call what blocks. */
using ProgressFunction = std::function<bool(const Progress &)>;

/** The bytes of any memory, as this header takes content. */
inline std::string_view bytes_of(const void *data, std::size_t size) noexcept {
    return {static_cast<const char *>(data), size};
}

namespace detail {

template <auto Free> struct Freer {
    template <class T> void operator()(T *handle) const noexcept { Free(handle); }
};

struct Keeper {
    template <class T> void operator()(T *) const noexcept {}
};

inline const char *text(std::string_view view) noexcept { return view.data() == nullptr ? "" : view.data(); }
inline const std::uint8_t *data(std::string_view view) noexcept {
    return reinterpret_cast<const std::uint8_t *>(view.data());
}
inline std::string_view view(const char *string) noexcept {
    return string == nullptr ? std::string_view() : std::string_view(string);
}

} // namespace detail

/** A handle with one owner. Thread safety: one thread at a time, unless the class says otherwise. */
template <class T, auto Free> class Owned {
  public:
    Owned() noexcept = default;
    /** Takes a handle of the C interface over. */
    explicit Owned(T *handle) noexcept : handle_(handle) {}
    /** The handle, which stays this object's. */
    T *get() const noexcept { return handle_.get(); }
    /** The handle, which is the caller's from now on. */
    T *release() noexcept { return handle_.release(); }
    explicit operator bool() const noexcept { return handle_ != nullptr; }

  protected:
    std::unique_ptr<T, detail::Freer<Free>> handle_;
};

/** A handle with references. Thread safety: any thread may use what it refers to, and each thread its own copy. */
template <class T, auto Retain, auto Release> class Shared : public Owned<T, Release> {
  public:
    using Owned<T, Release>::Owned;
    Shared(Shared &&) noexcept = default;
    Shared &operator=(Shared &&) noexcept = default;
    Shared(const Shared &other) noexcept : Owned<T, Release>(Retain(other.get())) {}
    Shared &operator=(const Shared &other) noexcept {
        this->handle_.reset(Retain(other.get()));
        return *this;
    }
    ~Shared() = default;
};

/** What became of each file of a tree. Copies share it; it never changes: any thread. Does not block. */
class Report {
  public:
    /** Takes a report over. */
    explicit Report(mlfa_report *report) : report_(report, &mlfa_report_free) {}
    explicit Report(std::shared_ptr<const mlfa_report> report) noexcept : report_(std::move(report)) {}
    std::size_t size() const noexcept { return mlfa_report_count(report_.get()); }
    std::string_view name(std::size_t index) const noexcept {
        return detail::view(mlfa_report_name_at(report_.get(), index));
    }
    /** One of MLFA_OUTCOME_... */
    std::int32_t outcome(std::size_t index) const noexcept { return mlfa_report_outcome_at(report_.get(), index); }
    mlfa_status status(std::size_t index) const noexcept { return mlfa_report_status_at(report_.get(), index); }
    std::uint64_t bytes(std::size_t index) const noexcept { return mlfa_report_size_at(report_.get(), index); }
    std::string_view message(std::size_t index) const noexcept {
        return detail::view(mlfa_report_message_at(report_.get(), index));
    }

  private:
    std::shared_ptr<const mlfa_report> report_;
};

/** What went wrong; what() is one line, detail() has the causes too. Copies share the C error; any thread. */
class Error : public std::runtime_error {
  public:
    /** Takes the error over. */
    Error(mlfa_status status, mlfa_error *error)
        : Error(status, std::shared_ptr<mlfa_error>(error, &mlfa_error_free)) {}
    /** MLFA_E_NOT_FOUND and so on. */
    mlfa_status status() const noexcept { return status_; }
    /** The status in words, such as `not_found`. */
    std::string_view name() const noexcept { return detail::view(mlfa_status_name(status_)); }
    std::string_view detail() const noexcept { return detail::view(mlfa_error_detail(error_.get())); }
    /** These are empty, or 0, where there is none. */
    std::string_view operation() const noexcept { return detail::view(mlfa_error_operation(error_.get())); }
    std::string_view path() const noexcept { return detail::view(mlfa_error_path(error_.get())); }
    std::string_view provider_code() const noexcept { return detail::view(mlfa_error_provider_code(error_.get())); }
    int http_status() const noexcept { return mlfa_error_http_status(error_.get()); }
    /** Whether the same call may succeed when it is made again, and how long the server asked to wait before. */
    bool retryable() const noexcept { return mlfa_error_is_retryable(error_.get()) != 0; }
    std::chrono::milliseconds retry_after() const noexcept {
        return std::chrono::milliseconds(mlfa_error_retry_after_ms(error_.get()));
    }
    /** What became of each file of a tree whose transfer failed in part; may outlive the error. */
    std::optional<Report> report() const {
        const mlfa_report *report = mlfa_error_report(error_.get());
        return report == nullptr ? std::nullopt
                                 : std::optional(Report(std::shared_ptr<const mlfa_report>(error_, report)));
    }

  private:
    Error(mlfa_status status, std::shared_ptr<mlfa_error> error)
        : std::runtime_error(message(status, error.get())), status_(status), error_(std::move(error)) {}
    static const char *message(mlfa_status status, const mlfa_error *error) noexcept {
        const char *message = mlfa_error_message(error);
        return message == nullptr ? mlfa_status_name(status) : message;
    }
    mlfa_status status_;
    std::shared_ptr<mlfa_error> error_;
};

namespace detail {

inline void check(mlfa_status status, mlfa_error *error) {
    if (status != MLFA_OK) {
        throw Error(status, error);
    }
}

/** Calls a function that answers nothing else. */
template <class Function, class... Arguments> void call(Function function, Arguments... arguments) {
    mlfa_error *error = nullptr;
    const mlfa_status status = function(arguments..., &error);
    check(status, error);
}

/** Calls a function whose last output but the error is a T. */
template <class T, class Function, class... Arguments> T answer(Function function, Arguments... arguments) {
    T out{};
    mlfa_error *error = nullptr;
    const mlfa_status status = function(arguments..., &out, &error);
    check(status, error);
    return out;
}

/** The functions that the library calls for a transfer or a task, and what they threw. */
struct Callbacks {
    ProgressFunction progress;
    std::function<void()> done;
    std::exception_ptr thrown;

    static std::int32_t on_progress(const mlfa_progress *progress, void *user) noexcept {
        auto *self = static_cast<Callbacks *>(user);
        try {
            return self->thrown == nullptr && self->progress(*progress) ? 0 : 1;
        } catch (...) {
            self->thrown = std::current_exception();
            return 1;
        }
    }
    /** What is thrown here ends the program, as on a std::thread. */
    static void on_done(mlfa_task *, void *user) noexcept { static_cast<Callbacks *>(user)->done(); }
    void rethrow() {
        if (thrown != nullptr) {
            std::rethrow_exception(std::exchange(thrown, nullptr));
        }
    }
};

} // namespace detail

/** Bytes in memory of the library; copies share them, and they never change. Any thread; does not block. */
class Bytes : public Shared<mlfa_bytes, &mlfa_bytes_retain, &mlfa_bytes_release> {
  public:
    using Shared::Shared;
    const std::uint8_t *data() const noexcept { return mlfa_bytes_data(get()); }
    std::size_t size() const noexcept { return mlfa_bytes_size(get()); }
    bool empty() const noexcept { return size() == 0; }
    const std::uint8_t *begin() const noexcept { return data(); }
    const std::uint8_t *end() const noexcept { return empty() ? data() : data() + size(); }
    std::uint8_t operator[](std::size_t index) const noexcept { return data()[index]; }
    /** Lives as long as these bytes or a copy of them. */
    std::string_view view() const noexcept { return empty() ? std::string_view() : bytes_of(data(), size()); }
};

/** What a store knows about one path: Meta owns it, Entry is lent by a list, entries or a reader. Any thread; does not block. */
template <class Holder> class BasicMeta {
  public:
    explicit BasicMeta(typename Holder::pointer meta) noexcept : meta_(meta) {}
    typename Holder::pointer get() const noexcept { return meta_.get(); }
    std::string_view path() const noexcept { return detail::view(mlfa_meta_path(get())); }
    bool is_directory() const noexcept { return mlfa_meta_is_directory(get()) != 0; }
    std::uint64_t size() const noexcept { return mlfa_meta_size(get()); }
    /** Nothing where the store does not tell. */
    std::optional<std::chrono::system_clock::time_point> modified() const noexcept {
        const std::int64_t time = mlfa_meta_modified_ns(get());
        if (time == MLFA_TIME_UNKNOWN) {
            return std::nullopt;
        }
        using Clock = std::chrono::system_clock;
        return Clock::time_point(std::chrono::duration_cast<Clock::duration>(std::chrono::nanoseconds(time)));
    }
    /** These are empty where the store does not tell. */
    std::string_view etag() const noexcept { return detail::view(mlfa_meta_etag(get())); }
    std::string_view sha256() const noexcept { return detail::view(mlfa_meta_sha256(get())); }

  private:
    Holder meta_;
};
using Meta = BasicMeta<std::unique_ptr<mlfa_meta, detail::Freer<&mlfa_meta_free>>>;
using Entry = BasicMeta<std::unique_ptr<const mlfa_meta, detail::Keeper>>;

/** Named values; a name may have several. Owned; any thread may read while none adds. Does not block. */
class Properties : public Owned<mlfa_properties, &mlfa_properties_free> {
  public:
    using Owned::Owned;
    Properties() : Owned(detail::answer<mlfa_properties *>(mlfa_properties_new)) {}
    Properties &add(std::string_view name, std::string_view value) {
        detail::call(mlfa_properties_add, get(), detail::text(name), name.size(), detail::text(value), value.size());
        return *this;
    }
    std::size_t size() const noexcept { return mlfa_properties_count(get()); }
    std::string_view name(std::size_t index) const noexcept {
        return detail::view(mlfa_properties_name_at(get(), index));
    }
    std::string_view value(std::size_t index) const noexcept {
        return detail::view(mlfa_properties_value_at(get(), index));
    }
};

/** The options of a store that is to be opened; without load_env() no environment variables are read. Owned; one thread at a
 *  time. Does not block. */
class Config : public Owned<mlfa_config, &mlfa_config_free> {
  public:
    using Owned::Owned;
    Config() : Owned(detail::answer<mlfa_config *>(mlfa_config_new)) {}
    Config &set(std::string_view name, std::string_view value) {
        detail::call(mlfa_config_set, get(), detail::text(name), name.size(), detail::text(value), value.size());
        return *this;
    }
    Config &load_env() {
        detail::call(mlfa_config_load_env, get());
        return *this;
    }
};

struct ContextOptions {
    std::uint32_t worker_threads = 0;
    /** If given, stores open only on these schemes, hosts and ports. */
    std::optional<std::vector<std::string>> trusted_uris = std::nullopt;
};

/** The threads that do the work. Make one for the program. Any thread; destroying the last reference, the stores' own
 *  included, blocks until tasks that were dropped have cleaned up. */
class Context : public Shared<mlfa_context, &mlfa_context_retain, &mlfa_context_release> {
  public:
    using Shared::Shared;
    Context() : Context(ContextOptions()) {}
    explicit Context(const ContextOptions &options) {
        mlfa_context_options raw = MLFA_CONTEXT_OPTIONS_INIT;
        std::vector<const char *> trusted(1, "");
        raw.worker_threads = options.worker_threads;
        if (options.trusted_uris) {
            trusted.clear();
            for (const std::string &uri : *options.trusted_uris) {
                trusted.push_back(uri.c_str());
            }
            raw.trusted_uri_count = trusted.size();
            trusted.push_back(nullptr);
            raw.trusted_uris = trusted.data();
        }
        handle_.reset(detail::answer<mlfa_context *>(mlfa_context_new, &raw));
    }
};

/** How to write an artifact. `properties` are copied by the call. */
struct PutOptions {
    /** One of MLFA_PUT_...; `if_match` is for MLFA_PUT_IF_MATCH. */
    std::uint32_t mode = MLFA_PUT_OVERWRITE;
    std::string if_match = {};
    const Properties *properties = nullptr;

    /** Points into this object. */
    mlfa_put_options raw() const noexcept {
        mlfa_put_options raw = MLFA_PUT_OPTIONS_INIT;
        raw.mode = mode;
        raw.if_match = mode == MLFA_PUT_IF_MATCH ? if_match.c_str() : nullptr;
        raw.properties = properties == nullptr ? nullptr : properties->get();
        return raw;
    }
};

/** The limits of a transfer and what it checks; 0 means default. `properties` are copied by the call. */
struct TransferOptions {
    std::uint32_t files = 0;
    std::uint32_t parts = 0;
    std::uint64_t memory = 0;
    std::uint64_t part_size = 0;
    /** One of MLFA_VERIFY_... */
    std::uint32_t verify = MLFA_VERIFY_OFFERED;
    ProgressFunction progress = {};
    std::chrono::milliseconds progress_interval = std::chrono::milliseconds(0);
    const Properties *properties = nullptr;

    /** Points to `callbacks`, which must outlive the transfer. */
    mlfa_transfer_options raw(detail::Callbacks &callbacks) const {
        mlfa_transfer_options raw = MLFA_TRANSFER_OPTIONS_INIT;
        raw.files = files;
        raw.parts = parts;
        raw.verify = verify;
        raw.memory = memory;
        raw.part_size = part_size;
        raw.progress_interval_ms = static_cast<std::uint32_t>(progress_interval.count());
        raw.properties = properties == nullptr ? nullptr : properties->get();
        if (progress) {
            callbacks.progress = progress;
            raw.progress = &detail::Callbacks::on_progress;
            raw.user = &callbacks;
        }
        return raw;
    }
};

/** A request that whoever holds it may make: treat it as a secret. Owned; any thread may read. Does not block. */
class SignedRequest : public Owned<mlfa_signed_request, &mlfa_signed_request_free> {
  public:
    using Owned::Owned;
    std::string_view method() const noexcept { return detail::view(mlfa_signed_request_method(get())); }
    std::string_view url() const noexcept { return detail::view(mlfa_signed_request_url(get())); }
    /** The headers that must be sent with it. */
    std::size_t size() const noexcept { return mlfa_signed_request_header_count(get()); }
    std::string_view name(std::size_t index) const noexcept {
        return detail::view(mlfa_signed_request_header_name_at(get(), index));
    }
    std::string_view value(std::size_t index) const noexcept {
        return detail::view(mlfa_signed_request_header_value_at(get(), index));
    }
};

/** Entries of a listing, in memory. Owned; any thread may read. Does not block. */
class Entries : public Owned<mlfa_entries, &mlfa_entries_free> {
  public:
    using Owned::Owned;
    std::size_t size() const noexcept { return mlfa_entries_count(get()); }
    /** Lives as long as these entries. */
    Entry operator[](std::size_t index) const noexcept { return Entry(mlfa_entries_at(get(), index)); }
};

/**
 * An operation that goes on meanwhile. Owned: destroying a task that still runs cancels it. Any thread may wait, look and
 * cancel; taking a result is for one thread. Only wait() blocks. A take function fits the operation, serves once, and throws
 * what the operation failed with, or MLFA_E_BUSY while it still runs.
 */
class Task {
  public:
    Task() noexcept = default;
    explicit Task(mlfa_task *task, std::unique_ptr<detail::Callbacks> callbacks = nullptr) noexcept
        : callbacks_(std::move(callbacks)), task_(task) {}
    Task(Task &&) noexcept = default;
    Task &operator=(Task &&other) noexcept {
        // The handle first: after that the library calls its functions no more.
        task_ = std::move(other.task_);
        callbacks_ = std::move(other.callbacks_);
        return *this;
    }
    mlfa_task *get() const noexcept { return task_.get(); }
    explicit operator bool() const noexcept { return task_ != nullptr; }

    bool is_done() const noexcept { return mlfa_task_is_done(get()) != 0; }
    void cancel() noexcept { mlfa_task_cancel(get()); }
    Progress progress() const {
        Progress progress = MLFA_PROGRESS_INIT;
        detail::call(mlfa_task_progress, static_cast<const mlfa_task *>(get()), &progress);
        return progress;
    }
    /** Until it has ended, well or not. */
    void wait() const { detail::call(mlfa_task_wait, get(), MLFA_FOREVER); }
    /** Whether it has ended in this time. */
    bool wait(std::chrono::milliseconds at_most) const {
        mlfa_error *error = nullptr;
        const auto count = static_cast<std::uint64_t>(at_most.count());
        const mlfa_status status = mlfa_task_wait(get(), count, &error);
        if (status == MLFA_E_TIMEOUT) {
            mlfa_error_free(error);
            return false;
        }
        detail::check(status, error);
        return true;
    }
    /** Calls `done` on a thread of the library when it has ended, once for each task. `done` must not block, throw (which ends
     *  the program) or destroy the task. */
    void on_done(std::function<void()> done) {
        if (callbacks_ == nullptr) {
            callbacks_ = std::make_unique<detail::Callbacks>();
        }
        if (callbacks_->done) {
            detail::check(MLFA_E_INVALID_ARGUMENT, nullptr);
        }
        callbacks_->done = std::move(done);
        detail::call(mlfa_task_on_done, get(), &detail::Callbacks::on_done, static_cast<void *>(callbacks_.get()));
    }

    /** Throws what the operation failed with. */
    void result() {
        rethrow();
        detail::call(mlfa_task_result, get());
    }
    std::uint64_t take_count() { return take<std::uint64_t>(mlfa_task_take_count); }
    /** Nothing at the end of a listing. */
    std::optional<Meta> take_meta() { return take_some<Meta>(mlfa_task_take_meta); }
    /** Nothing at the end of a reader. */
    std::optional<Bytes> take_bytes() { return take_some<Bytes>(mlfa_task_take_bytes); }
    /** Nothing at the end of a listing. */
    std::optional<Entries> take_entries() { return take_some<Entries>(mlfa_task_take_entries); }
    Report take_report() { return Report(take<mlfa_report *>(mlfa_task_take_report)); }
    Properties take_properties() { return Properties(take<mlfa_properties *>(mlfa_task_take_properties)); }
    SignedRequest take_signed_request() {
        return SignedRequest(take<mlfa_signed_request *>(mlfa_task_take_signed_request));
    }
    class Reader take_reader();
    class Multipart take_multipart();

  private:
    friend class Queue;
    void rethrow() {
        if (callbacks_ != nullptr && is_done()) {
            callbacks_->rethrow();
        }
    }
    template <class T, class Function> T take(Function function) {
        rethrow(); // before the result is taken, which nobody would free
        return detail::answer<T>(function, get());
    }
    template <class T, class Handle> std::optional<T> take_some(mlfa_status (*function)(mlfa_task *, Handle **, mlfa_error **)) {
        Handle *handle = take<Handle *>(function);
        return handle == nullptr ? std::nullopt : std::optional<T>(T(handle));
    }
    std::unique_ptr<detail::Callbacks> callbacks_;
    std::unique_ptr<mlfa_task, detail::Freer<&mlfa_task_free>> task_;
};

/** Where the ends of many tasks come together. Owned: destroying it cancels the tasks in it. Any thread, several at once; only
 *  next() blocks. */
class Queue {
  public:
    struct Finished {
        Task task;
        std::uint64_t tag;
    };
    Queue() : kept_(std::make_unique<Kept>()), queue_(detail::answer<mlfa_queue *>(mlfa_queue_new)) {}
    Queue(Queue &&) noexcept = default;
    Queue &operator=(Queue &&other) noexcept {
        queue_ = std::move(other.queue_);
        kept_ = std::move(other.kept_);
        return *this;
    }
    mlfa_queue *get() const noexcept { return queue_.get(); }
    /** Can be read from while a task has ended: for poll and epoll, nothing else. */
    int descriptor() const noexcept { return mlfa_queue_fd(get()); }
    /** Takes a task; if this throws, the task is destroyed. */
    void add(Task task, std::uint64_t tag) {
        if (task.callbacks_ != nullptr && kept_ != nullptr) {
            std::lock_guard<std::mutex> lock(kept_->mutex);
            kept_->callbacks[task.get()] = std::move(task.callbacks_);
        }
        try {
            detail::call(mlfa_task_submit_to, task.get(), get(), tag);
        } catch (...) {
            task.callbacks_ = callbacks_of(task.get());
            throw;
        }
        task.task_.release();
    }
    /** The next task that has ended, with its tag. */
    Finished next() { return *next(MLFA_FOREVER); }
    /** Nothing if none has ended in this time. */
    std::optional<Finished> next(std::chrono::milliseconds at_most) {
        return next(static_cast<std::uint64_t>(at_most.count()));
    }

  private:
    struct Kept {
        std::mutex mutex;
        std::map<mlfa_task *, std::unique_ptr<detail::Callbacks>> callbacks;
    };
    std::optional<Finished> next(std::uint64_t at_most) {
        std::uint64_t tag = 0;
        mlfa_task *task = nullptr;
        mlfa_error *error = nullptr;
        const mlfa_status status = mlfa_queue_next(get(), at_most, &tag, &task, &error);
        if (status == MLFA_E_TIMEOUT) {
            mlfa_error_free(error);
            return std::nullopt;
        }
        detail::check(status, error);
        return Finished{Task(task, callbacks_of(task)), tag};
    }
    std::unique_ptr<detail::Callbacks> callbacks_of(mlfa_task *task) {
        if (kept_ == nullptr) {
            return nullptr;
        }
        std::lock_guard<std::mutex> lock(kept_->mutex);
        auto node = kept_->callbacks.extract(task);
        return node.empty() ? nullptr : std::move(node.mapped());
    }
    std::unique_ptr<Kept> kept_;
    std::unique_ptr<mlfa_queue, detail::Freer<&mlfa_queue_free>> queue_;
};

/** A listing that is being read. Owned; one thread at a time, and once from its beginning to its end. Each step blocks.
 *
 *      for (const Entry &entry : store.list("models")) { ... }
 */
class List : public Owned<mlfa_list, &mlfa_list_free> {
  public:
    using Owned::Owned;
    /** The next entry, which lives until the next call; nothing at the end. */
    std::optional<Entry> next() {
        const mlfa_meta *entry = detail::answer<const mlfa_meta *>(mlfa_list_next, get());
        return entry == nullptr ? std::nullopt : std::optional<Entry>(Entry(entry));
    }
    Task next_start() { return Task(detail::answer<mlfa_task *>(mlfa_list_next_start, get())); }
    /** Up to so many entries; nothing at the end. */
    std::optional<Entries> next_batch(std::size_t count) {
        mlfa_entries *entries = detail::answer<mlfa_entries *>(mlfa_list_next_batch, get(), count);
        return entries == nullptr ? std::nullopt : std::optional<Entries>(Entries(entries));
    }
    Task next_batch_start(std::size_t count) {
        return Task(detail::answer<mlfa_task *>(mlfa_list_next_batch_start, get(), count));
    }

    /** An input iterator: it can only go on. */
    class Iterator {
      public:
        using iterator_category = std::input_iterator_tag;
        using value_type = Entry;
        using difference_type = std::ptrdiff_t;
        using pointer = const Entry *;
        using reference = const Entry &;
        Iterator() noexcept = default;
        explicit Iterator(List &list) : list_(&list), entry_(list.next()) {}
        reference operator*() const noexcept { return *entry_; }
        pointer operator->() const noexcept { return &*entry_; }
        Iterator &operator++() {
            entry_ = list_->next();
            return *this;
        }
        void operator++(int) { ++*this; }
        /** Only whether both are at the end. */
        bool operator==(const Iterator &other) const noexcept { return !entry_ && !other.entry_; }
        bool operator!=(const Iterator &other) const noexcept { return !(*this == other); }

      private:
        List *list_ = nullptr;
        std::optional<Entry> entry_;
    };
    Iterator begin() { return Iterator(*this); }
    Iterator end() noexcept { return Iterator(); }
};

/** An artifact that is being read. Owned; one thread at a time. Reading blocks. */
class Reader : public Owned<mlfa_reader, &mlfa_reader_free> {
  public:
    using Owned::Owned;
    /** What is being read; lives as long as this reader. */
    Entry meta() const noexcept { return Entry(mlfa_reader_meta(get())); }
    /** How many bytes came: fewer than `capacity` only at the end. */
    std::size_t read(void *buffer, std::size_t capacity) {
        return detail::answer<std::size_t>(mlfa_reader_read, get(), static_cast<std::uint8_t *>(buffer), capacity);
    }
    /** The count is taken; `buffer` is the task's until it has ended or is destroyed. */
    Task read_start(void *buffer, std::size_t capacity) {
        auto *bytes = static_cast<std::uint8_t *>(buffer);
        return Task(detail::answer<mlfa_task *>(mlfa_reader_read_start, get(), bytes, capacity));
    }
    /** The bytes that come next, without copying them; nothing at the end. */
    std::optional<Bytes> read_chunk() {
        mlfa_bytes *bytes = detail::answer<mlfa_bytes *>(mlfa_reader_read_chunk, get());
        return bytes == nullptr ? std::nullopt : std::optional<Bytes>(Bytes(bytes));
    }
    /** The bytes are taken. */
    Task read_chunk_start() { return Task(detail::answer<mlfa_task *>(mlfa_reader_read_chunk_start, get())); }
    void seek(std::uint64_t offset) { detail::call(mlfa_reader_seek, get(), offset); }
};

/** An artifact that is being written; nothing is visible before finish(). Owned: destroying one that has not finished aborts it.
 *  One thread at a time. Everything but the ..._start functions blocks. */
class Writer : public Owned<mlfa_writer, &mlfa_writer_free> {
  public:
    using Owned::Owned;
    void write(std::string_view data) { detail::call(mlfa_writer_write, get(), detail::data(data), data.size()); }
    /** The bytes are copied before it returns. */
    Task write_start(std::string_view data) {
        return Task(detail::answer<mlfa_task *>(mlfa_writer_write_start, get(), detail::data(data), data.size()));
    }
    Meta finish() { return Meta(detail::answer<mlfa_meta *>(mlfa_writer_finish, get())); }
    /** The meta is taken. */
    Task finish_start() { return Task(detail::answer<mlfa_task *>(mlfa_writer_finish_start, get())); }
    void abort() { detail::call(mlfa_writer_abort, get()); }
    Task abort_start() { return Task(detail::answer<mlfa_task *>(mlfa_writer_abort_start, get())); }
};

/** An upload in parts; copies are the same upload. Any thread, several at once. Everything but the ..._start functions, token(),
 *  part_size() and add_part() blocks. One that was neither completed nor aborted stays, to be resumed by its token. */
class Multipart : public Shared<mlfa_multipart, &mlfa_multipart_retain, &mlfa_multipart_release> {
  public:
    using Shared::Shared;
    /** Empty where the store cannot resume. */
    std::string_view token() const noexcept { return detail::view(mlfa_multipart_token(get())); }
    std::uint64_t part_size() const noexcept { return mlfa_multipart_part_size(get()); }
    Meta put_part(std::uint32_t number, std::string_view data) {
        return Meta(detail::answer<mlfa_meta *>(mlfa_multipart_put_part, get(), number, detail::data(data), data.size()));
    }
    /** The meta is taken. The bytes are copied before it returns. */
    Task put_part_start(std::uint32_t number, std::string_view data) {
        return Task(detail::answer<mlfa_task *>(mlfa_multipart_put_part_start, get(), number, detail::data(data), data.size()));
    }
    void add_part(std::uint32_t number, std::uint64_t size, std::string_view etag) {
        detail::call(mlfa_multipart_add_part, get(), number, size, detail::text(etag), etag.size());
    }
    SignedRequest presign_part(std::uint32_t number, std::chrono::seconds expires) {
        const auto seconds = static_cast<std::uint64_t>(expires.count());
        return SignedRequest(detail::answer<mlfa_signed_request *>(mlfa_multipart_presign_part, get(), number, seconds));
    }
    Meta complete() { return Meta(detail::answer<mlfa_meta *>(mlfa_multipart_complete, get())); }
    /** The meta is taken. */
    Task complete_start() { return Task(detail::answer<mlfa_task *>(mlfa_multipart_complete_start, get())); }
    void abort() { detail::call(mlfa_multipart_abort, get()); }
    Task abort_start() { return Task(detail::answer<mlfa_task *>(mlfa_multipart_abort_start, get())); }
};

inline Reader Task::take_reader() { return Reader(take<mlfa_reader *>(mlfa_task_take_reader)); }
inline Multipart Task::take_multipart() { return Multipart(take<mlfa_multipart *>(mlfa_task_take_multipart)); }

/**
 * An open store; copies are the same store. Any thread, several at once. Everything but opening it, scheme(), root(), can() and
 * the ..._start functions blocks. In comments, "the bytes are taken" names the take function of the task.
 */
class Store : public Shared<mlfa_store, &mlfa_store_retain, &mlfa_store_release> {
  public:
    using Shared::Shared;
    /** Environment variables alone set its options. */
    Store(const Context &context, std::string_view uri) : Store(context, uri, nullptr) {}
    Store(const Context &context, std::string_view uri, const Config &config) : Store(context, uri, config.get()) {}

    std::string_view scheme() const noexcept { return detail::view(mlfa_store_scheme(get())); }
    std::string_view root() const noexcept { return detail::view(mlfa_store_root(get())); }
    /** Whether it has all of these MLFA_CAPABILITY_... */
    bool can(std::uint64_t capabilities) const noexcept {
        return (mlfa_store_capabilities(get()) & capabilities) == capabilities;
    }
    Properties describe() const { return Properties(detail::answer<mlfa_properties *>(mlfa_store_describe, get())); }

    Meta stat(std::string_view path) const { return Meta(at<mlfa_meta *>(mlfa_stat, path)); }
    /** The meta is taken. */
    Task stat_start(std::string_view path) const { return Task(at<mlfa_task *>(mlfa_stat_start, path)); }
    Properties properties(std::string_view path) const {
        return Properties(at<mlfa_properties *>(mlfa_get_properties, path));
    }
    /** The properties are taken. */
    Task properties_start(std::string_view path) const {
        return Task(at<mlfa_task *>(mlfa_get_properties_start, path));
    }

    Bytes get_bytes(std::string_view path, std::uint64_t offset = 0, std::uint64_t length = MLFA_TO_THE_END) const {
        return Bytes(at<mlfa_bytes *>(mlfa_get_bytes, path, offset, length));
    }
    /** The bytes are taken. */
    Task get_bytes_start(std::string_view path, std::uint64_t offset = 0, std::uint64_t length = MLFA_TO_THE_END) const {
        return Task(at<mlfa_task *>(mlfa_get_bytes_start, path, offset, length));
    }
    /** How many bytes came: fewer than `capacity` only at the end. */
    std::size_t get_into(std::string_view path, std::uint64_t offset, void *buffer, std::size_t capacity) const {
        return at<std::size_t>(mlfa_get_into, path, offset, static_cast<std::uint8_t *>(buffer), capacity);
    }
    void put(std::string_view path, std::string_view data, const PutOptions &options = {}) const {
        const mlfa_put_options raw = options.raw();
        on(mlfa_put_bytes, path, detail::data(data), data.size(), &raw);
    }
    /** The result is taken. The bytes are copied before it returns. */
    Task put_start(std::string_view path, std::string_view data, const PutOptions &options = {}) const {
        const mlfa_put_options raw = options.raw();
        return Task(at<mlfa_task *>(mlfa_put_bytes_start, path, detail::data(data), data.size(), &raw));
    }
    /** Like put(), without copying the bytes. */
    void put_owned(std::string_view path, std::string data, const PutOptions &options = {}) const {
        const mlfa_put_options raw = options.raw();
        auto *owned = new std::string(std::move(data));
        on(mlfa_put_owned, path, detail::data(*owned), owned->size(), &drop, static_cast<void *>(owned), &raw);
    }
    void create_directory(std::string_view path) const { on(mlfa_create_directory, path); }
    /** Whether something was there. `flags`: MLFA_DELETE_RECURSIVE. */
    bool remove(std::string_view path, std::uint32_t flags = 0) const {
        return at<std::int32_t>(mlfa_delete, path, flags) != 0;
    }
    /** The count is taken, 1 or 0. */
    Task remove_start(std::string_view path, std::uint32_t flags = 0) const {
        return Task(at<mlfa_task *>(mlfa_delete_start, path, flags));
    }
    void copy(std::string_view from, std::string_view to) const { on(mlfa_copy, from, detail::text(to), to.size()); }
    /** The result is taken. */
    Task copy_start(std::string_view from, std::string_view to) const {
        return Task(at<mlfa_task *>(mlfa_copy_start, from, detail::text(to), to.size()));
    }
    /** `flags`: MLFA_LIST_RECURSIVE. */
    List list(std::string_view path, std::uint32_t flags = 0) const {
        return List(at<mlfa_list *>(mlfa_list_open, path, flags));
    }

    Reader reader(std::string_view path, std::uint64_t offset = 0, std::uint64_t length = MLFA_TO_THE_END) const {
        return Reader(at<mlfa_reader *>(mlfa_reader_open, path, offset, length));
    }
    /** The reader is taken. */
    Task reader_start(std::string_view path, std::uint64_t offset = 0, std::uint64_t length = MLFA_TO_THE_END) const {
        return Task(at<mlfa_task *>(mlfa_reader_open_start, path, offset, length));
    }
    /** Does not block: what the store finds wrong is told by the next call with the writer. */
    Writer writer(std::string_view path, std::uint64_t length = MLFA_LENGTH_UNKNOWN, const PutOptions &options = {}) const {
        const mlfa_put_options raw = options.raw();
        return Writer(at<mlfa_writer *>(mlfa_writer_open, path, length, &raw));
    }
    /** `part_size` 0: the store chooses. */
    Multipart multipart(std::string_view path, std::uint64_t length = MLFA_LENGTH_UNKNOWN, std::uint64_t part_size = 0,
                        const PutOptions &options = {}) const {
        const mlfa_put_options raw = options.raw();
        return Multipart(at<mlfa_multipart *>(mlfa_multipart_create, path, length, part_size, &raw));
    }
    Multipart resume(std::string_view path, std::string_view token) const {
        return Multipart(at<mlfa_multipart *>(mlfa_multipart_resume, path, detail::text(token), token.size()));
    }
    /** `method`: MLFA_PRESIGN_GET or MLFA_PRESIGN_PUT. */
    SignedRequest presign(std::string_view path, std::uint32_t method, std::chrono::seconds expires) const {
        const auto seconds = static_cast<std::uint64_t>(expires.count());
        return SignedRequest(at<mlfa_signed_request *>(mlfa_presign, path, method, seconds));
    }

    void upload_file(std::string_view local, std::string_view path, const TransferOptions &options = {}) const {
        transfer(mlfa_upload_file, local, path, options);
    }
    void download_file(std::string_view path, std::string_view local, const TransferOptions &options = {}) const {
        transfer(mlfa_download_file, path, local, options);
    }
    Report upload_tree(std::string_view local, std::string_view path, const TransferOptions &options = {}) const {
        return report_of(mlfa_upload_tree, local, path, options);
    }
    Report download_tree(std::string_view path, std::string_view local, const TransferOptions &options = {}) const {
        return report_of(mlfa_download_tree, path, local, options);
    }
    /** The result is taken. */
    Task upload_file_start(std::string_view local, std::string_view path, const TransferOptions &options = {}) const {
        return begin(mlfa_upload_file_start, local, path, options);
    }
    Task download_file_start(std::string_view path, std::string_view local, const TransferOptions &options = {}) const {
        return begin(mlfa_download_file_start, path, local, options);
    }
    /** The report is taken. */
    Task upload_tree_start(std::string_view local, std::string_view path, const TransferOptions &options = {}) const {
        return begin(mlfa_upload_tree_start, local, path, options);
    }
    Task download_tree_start(std::string_view path, std::string_view local, const TransferOptions &options = {}) const {
        return begin(mlfa_download_tree_start, path, local, options);
    }

  private:
    Store(const Context &context, std::string_view uri, const mlfa_config *config)
        : Shared(detail::answer<mlfa_store *>(mlfa_store_open, context.get(), detail::text(uri), uri.size(), config)) {}
    static void drop(void *owned) noexcept { delete static_cast<std::string *>(owned); }

    template <class T, class Function, class... Arguments>
    T at(Function function, std::string_view path, Arguments... arguments) const {
        return detail::answer<T>(function, get(), detail::text(path), path.size(), arguments...);
    }
    template <class Function, class... Arguments>
    void on(Function function, std::string_view path, Arguments... arguments) const {
        detail::call(function, get(), detail::text(path), path.size(), arguments...);
    }
    /** Calls a transfer; what its progress function threw comes before what the transfer failed with. */
    template <class Function, class... Outputs>
    void transfer(Function function, std::string_view from, std::string_view to, const TransferOptions &options,
                  Outputs... outputs) const {
        detail::Callbacks callbacks;
        const mlfa_transfer_options raw = options.raw(callbacks);
        mlfa_error *error = nullptr;
        const mlfa_status status = function(get(), detail::text(from), from.size(), detail::text(to), to.size(), &raw,
                                            outputs..., &error);
        if (callbacks.thrown != nullptr) {
            mlfa_error_free(error);
            callbacks.rethrow();
        }
        detail::check(status, error);
    }
    template <class Function>
    Report report_of(Function function, std::string_view from, std::string_view to, const TransferOptions &options) const {
        struct Freed {
            mlfa_report *report = nullptr;
            ~Freed() { mlfa_report_free(report); }
        } out;
        transfer(function, from, to, options, &out.report);
        return Report(std::exchange(out.report, nullptr));
    }
    template <class Function>
    Task begin(Function function, std::string_view from, std::string_view to, const TransferOptions &options) const {
        auto callbacks = std::make_unique<detail::Callbacks>();
        const mlfa_transfer_options raw = options.raw(*callbacks);
        mlfa_task *task = at<mlfa_task *>(function, from, detail::text(to), to.size(), &raw);
        return Task(task, std::move(callbacks));
    }
};

} // namespace mlflow_artifacts

#endif
