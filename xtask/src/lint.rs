//! What the header must say of every function, and the types that may stand in it: ABI.md's rules, as far as text shows them.

use std::collections::BTreeMap;

use crate::process::{Outcome, fail};

/// The prefix of functions that are not promised, and the macro that a program must define to see them.
const EXPERIMENTAL: (&str, &str) = ("mlfa_x_", "MLFA_EXPERIMENTAL");

/// Words that no declaration has: their size or representation is the compiler's choice, or not every language can call them.
const UNFIT_WORDS: [&str; 6] = ["bool", "_Bool", "enum", "long", "union", "..."];

/// What blocks and has no twin that begins a task: it is what waits for tasks.
const WAITING: [&str; 2] = ["mlfa_task_wait", "mlfa_queue_next"];

/// A function of the header.
struct Function<'a> {
    name: &'a str,
    /// In one line, without asterisks; empty if there is none.
    comment: String,
    /// In one line, without the semicolon.
    declaration: String,
    /// Whether it stands behind the macro of experimental functions.
    is_experimental: bool,
}

/// Fails, naming every function and what it lacks, unless the header keeps the rules. `since` has the version of each function.
pub(crate) fn run(header: &str, since: &BTreeMap<String, String>) -> Outcome {
    let functions = functions(header);
    if functions.is_empty() {
        return fail("the header has no functions");
    }
    let mut problems = unfit_types(header);
    for function in &functions {
        let twin = functions.iter().find(|other| other.name.strip_suffix("_start") == Some(function.name));
        let found = [
            comment_problems(function, since),
            declaration_problems(function),
            task_problems(function, twin),
        ];
        let found = found.concat();
        problems.extend(found.into_iter().map(|problem| format!("{}: {problem}", function.name)));
    }
    if problems.is_empty() {
        return Ok(());
    }
    fail(format!("the header breaks rules of ABI.md:\n  {}", problems.join("\n  ")))
}

/// What the comment must say and does not.
fn comment_problems(function: &Function<'_>, since: &BTreeMap<String, String>) -> Vec<String> {
    let mut required = vec!["Thread safety", "Blocking", "Since"];
    if function.is_fallible() {
        required.extend(["Errors", "Callback-safe"]);
    }
    if function.hands_out_a_pointer() {
        required.push("Ownership");
    }
    let missing = required.into_iter().filter(|label| function.says(label).is_none());
    let mut problems: Vec<_> = missing.map(|label| format!("its comment lacks \"{label}:\"")).collect();
    let listed = since.get(function.name).map_or("no version", String::as_str);
    if let Some(said) = function.says("Since").filter(|said| *said != listed) {
        problems.push(format!("its comment says \"Since: {said}\", symbols-in-versions.txt says {listed}"));
    }
    problems
}

/// What blocks can be begun as a task instead, and is refused in a callback; its twin is not.
fn task_problems(function: &Function<'_>, twin: Option<&Function<'_>>) -> Vec<String> {
    let blocks = |of: &Function<'_>| of.says("Blocking").is_some_and(|said| said.starts_with("yes"));
    let is_safe = |of: &Function<'_>| of.says("Callback-safe") == Some("yes");
    let mut problems = Vec::new();
    if function.is_fallible() && blocks(function) {
        if is_safe(function) {
            problems.push("it blocks and is said to be callback-safe".to_owned());
        }
        if twin.is_none() && !WAITING.contains(&function.name) {
            problems.push(format!("it blocks and has no twin {}_start", function.name));
        }
    }
    if let Some(twin) = twin.filter(|twin| blocks(twin) || !is_safe(twin)) {
        problems.push(format!("its twin {} blocks or is not callback-safe", twin.name));
    }
    problems
}

fn declaration_problems(function: &Function<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let answers_status = function.declaration.starts_with("mlfa_status ");
    // An accessor lends the status of something else.
    let is_accessor = function.name.ends_with("_status") || function.name.ends_with("_status_at");
    if function.is_fallible() && !answers_status {
        problems.push("it takes `mlfa_error **err` and does not answer mlfa_status".to_owned());
    }
    if answers_status && !function.is_fallible() && !is_accessor {
        problems.push("it answers mlfa_status and does not take `mlfa_error **err` last".to_owned());
    }
    let (prefix, guard) = EXPERIMENTAL;
    if function.is_experimental != function.name.starts_with(prefix) {
        problems.push(format!("the functions behind {guard} are those named {prefix}..."));
    }
    problems
}

impl Function<'_> {
    /// It can fail: it takes an error last.
    fn is_fallible(&self) -> bool {
        self.declaration.ends_with("struct mlfa_error **err)")
    }

    /// It answers a pointer, or has an output for one beside the error.
    fn hands_out_a_pointer(&self) -> bool {
        let (answer, parameters) = self.declaration.split_once('(').unwrap_or_default();
        answer.contains('*') || parameters.replace("struct mlfa_error **err", "").contains("**")
    }

    /// What stands behind a label of the comment, up to the end of the sentence.
    fn says(&self, label: &str) -> Option<&str> {
        let (_, said) = self.comment.split_once(&format!("{label}: "))?;
        let end = said.find(". ").unwrap_or(said.len());
        Some(said[..end].trim_end_matches('.')).filter(|said| !said.is_empty())
    }
}

/// What an older header has and this one has not: constants with their values, and structs with their fields, which may have
/// more fields behind them.
pub(crate) fn lost(older: &str, header: &str) -> Vec<String> {
    let (kept, lost) = (constants_and_types(header), constants_and_types(older));
    // Only these are meant to differ: the version, and the initialisers of structs that grew.
    let may_differ =
        |line: &str| line.starts_with("#define MLFA_VERSION_NUMBER ") || line.contains("_INIT {");
    let is_kept =
        |old: &String| kept.iter().any(|new| new == old || (old.contains('{') && new.starts_with(old)));
    lost.into_iter().filter(|line| !may_differ(line) && !is_kept(line)).collect()
}

/// Each `#define` and `typedef` in one line; a struct without its end.
fn constants_and_types(header: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut in_struct = false;
    for (piece, kind) in pieces(header) {
        let line = in_one_line(piece);
        match kind {
            Piece::Directive if line.starts_with("#define ") => found.push(line),
            Piece::Declaration if in_struct => match found.last_mut() {
                Some(fields) if !line.starts_with('}') => fields.extend([" ", &line]),
                _ => in_struct = false,
            },
            Piece::Declaration if line.starts_with("typedef ") => {
                in_struct = line.ends_with('{');
                found.push(line);
            }
            _ => {}
        }
    }
    found
}

/// The header without comments and all that only a preprocessor understands: declarations, and constants that are plain numbers.
pub(crate) fn bare(header: &str) -> String {
    let mut bare = String::new();
    let mut in_struct = false;
    for (piece, kind) in pieces(header) {
        let is_kept = match kind {
            Piece::Comment => false,
            Piece::Directive => is_plain_number(piece),
            // Braces outside a struct are those of `extern "C"`.
            Piece::Declaration if piece.ends_with(['{', '}']) => {
                let is_kept = in_struct || piece.starts_with("typedef struct");
                in_struct = is_kept && piece.ends_with('{');
                is_kept
            }
            Piece::Declaration => true,
        };
        if is_kept {
            bare.push_str(&in_one_line(piece));
            bare.push('\n');
        }
    }
    bare
}

fn is_plain_number(directive: &str) -> bool {
    let mut words = directive.split_whitespace();
    words.next() == Some("#define") && words.nth(1).is_some_and(|value| value.parse::<i64>().is_ok())
}

/// Unfit words in any declaration, and structs that are passed by value.
fn unfit_types(header: &str) -> Vec<String> {
    let mut problems = Vec::new();
    for declaration in code(header).split_inclusive([';', '{', '}']) {
        let declaration = in_one_line(declaration);
        let words = declaration.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '.');
        let unfit = words.filter(|word| UNFIT_WORDS.contains(word));
        problems.extend(unfit.map(|word| format!("`{word}` in: {declaration}")));
        // The parts of a function: its answer and each of its parameters.
        let parts = declaration.contains('(').then(|| declaration.split(['(', ',']));
        let by_value =
            parts.into_iter().flatten().find(|part| part.contains("struct ") && !part.contains('*'));
        problems
            .extend(by_value.map(|part| format!("a struct by value, `{}`, in: {declaration}", part.trim())));
    }
    problems
}

/// The functions of the header in its order.
fn functions(header: &str) -> Vec<Function<'_>> {
    let mut functions = Vec::new();
    let mut comment = "";
    let mut is_experimental = false;
    for (piece, kind) in pieces(header) {
        match kind {
            Piece::Comment => comment = piece,
            Piece::Directive => {
                let of_guard = piece.starts_with("#if") && piece.contains(EXPERIMENTAL.1);
                // A directive between the comment and its declaration is the guard's own; its end closes it.
                is_experimental = of_guard || (is_experimental && !piece.starts_with("#endif"));
            }
            Piece::Declaration => {
                if let Some(name) = function_name(piece) {
                    let comment = comment_text(comment);
                    let declaration = in_one_line(piece).trim_end_matches(';').to_owned();
                    functions.push(Function { name, comment, declaration, is_experimental });
                }
                comment = "";
            }
        }
    }
    functions
}

enum Piece {
    Comment,
    Directive,
    Declaration,
}

/// The comments, preprocessor lines and declarations of a header. A brace ends a declaration too.
fn pieces(header: &str) -> impl Iterator<Item = (&str, Piece)> {
    let mut rest = header.trim_start();
    std::iter::from_fn(move || {
        let (end, kind) = if rest.starts_with("/*") {
            (rest.find("*/").map(|at| at + 2), Piece::Comment)
        } else if rest.starts_with('#') {
            (rest.find('\n'), Piece::Directive)
        } else {
            (rest.find([';', '{', '}']).map(|at| at + 1), Piece::Declaration)
        };
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after.trim_start();
        (!piece.is_empty()).then_some((piece, kind))
    })
}

/// The name of the function that a declaration declares, if it does.
fn function_name(declaration: &str) -> Option<&str> {
    let (before, _) = declaration.split_once('(')?;
    let name = before.rsplit([' ', '*']).next()?;
    (name.starts_with("mlfa_") && !before.contains("typedef")).then_some(name)
}

/// The header without comments and preprocessor lines.
fn code(header: &str) -> String {
    let mut code = String::new();
    for (piece, kind) in pieces(header) {
        if matches!(kind, Piece::Declaration) {
            code.push_str(piece);
        }
    }
    code
}

fn comment_text(comment: &str) -> String {
    let lines = comment.trim_matches(['/', '*']).lines();
    in_one_line(&lines.map(|line| line.trim_start().trim_start_matches('*')).collect::<Vec<_>>().join(" "))
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
#define MLFA_ABI_VERSION 1
/**
 * A struct.
 */
typedef struct mlfa_options { uint32_t struct_size; } mlfa_options;
/**
 * Is told.
 */
typedef int32_t (*mlfa_progress_fn)(const struct mlfa_options *options, void *user);
/**
 * Opens it; no long text, no bool.
 *
 * Ownership: release `*out`. Thread safety: any thread. Callback-safe: no. Blocking: yes. Errors: those of
 * the store. Since: 0.1.
 */
mlfa_status mlfa_open(const char *uri,
                      struct mlfa_store **out,
                      struct mlfa_error **err);
/**
 * Begins it.
 *
 * Ownership: free `*task`. Thread safety: any thread. Callback-safe: yes. Blocking: no. Errors: none. Since: 0.1.
 */
mlfa_status mlfa_open_start(const char *uri, struct mlfa_task **task, struct mlfa_error **err);
/**
 * How many.
 *
 * Thread safety: any thread. Blocking: no. Since: 0.1.
 */
size_t mlfa_count(const struct mlfa_store *store);
";

    /// What the lint says of the good header after a change.
    fn said(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from:?} is not in the header");
        let since = ["mlfa_open", "mlfa_open_start", "mlfa_count", "mlfa_x_count"]
            .map(|name| (name.to_owned(), "0.1".to_owned()));
        run(&GOOD.replace(from, to), &since.into())
            .map_or_else(|failure| failure.to_string(), |()| String::new())
    }

    #[track_caller]
    fn assert_said(from: &str, to: &str, expected: &str) {
        let said = said(from, to);
        assert!(said.contains(expected), "{from:?} as {to:?}: {said:?}");
    }

    #[test]
    fn a_good_header_passes() {
        assert_eq!(said("", ""), "");
    }

    #[test]
    fn each_statement_is_missed() {
        assert_said("Thread safety:", "Threads:", "mlfa_open: its comment lacks \"Thread safety:\"");
        assert_said("Blocking: no", "", "mlfa_count: its comment lacks \"Blocking:\"");
        assert_said("Errors:", "Failures:", "mlfa_open: its comment lacks \"Errors:\"");
        assert_said("Ownership:", "Owner:", "mlfa_open: its comment lacks \"Ownership:\"");
        assert_said("Since: 0.1.", "", "mlfa_count: its comment lacks \"Since:\"");
        assert_said(
            "size_t mlfa_count",
            "const char *mlfa_count",
            "mlfa_count: its comment lacks \"Ownership:\"",
        );
    }

    #[test]
    fn what_blocks_has_a_twin_that_does_not() {
        assert_said(
            "Callback-safe: no",
            "Callback-safe: yes",
            "mlfa_open: it blocks and is said to be callback-safe",
        );
        assert_said("Callback-safe: no. ", "", "mlfa_open: its comment lacks \"Callback-safe:\"");
        assert_said(
            "mlfa_open_start",
            "mlfa_x_count",
            "mlfa_open: it blocks and has no twin mlfa_open_start",
        );
        let twin = "mlfa_open: its twin mlfa_open_start blocks or is not callback-safe";
        assert_said("Callback-safe: yes", "Callback-safe: no", twin);
        assert_said("Blocking: no. Errors: none", "Blocking: yes. Errors: none", twin);
    }

    #[test]
    fn a_comment_belongs_to_one_function() {
        assert_said(
            "size_t mlfa_count",
            "size_t mlfa_other(void);\nsize_t mlfa_count",
            "mlfa_count: its comment lacks",
        );
    }

    #[test]
    fn versions_agree_with_the_list() {
        assert_said("Since: 0.1.", "Since: 0.2.", "mlfa_count: its comment says \"Since: 0.2\"");
        assert_said("mlfa_count", "mlfa_unlisted", "symbols-in-versions.txt says no version");
    }

    #[test]
    fn fallible_functions_answer_a_status() {
        assert_said("mlfa_status mlfa_open", "int32_t mlfa_open", "mlfa_open: it takes `mlfa_error **err`");
        assert_said("size_t mlfa_count", "mlfa_status mlfa_count", "mlfa_count: it answers mlfa_status");
    }

    #[test]
    fn unfit_types_are_found() {
        assert_said("size_t mlfa_count", "bool mlfa_count", "`bool` in: bool mlfa_count");
        assert_said("size_t mlfa_count", "unsigned long mlfa_count", "`long` in: unsigned long");
        assert_said("uint32_t struct_size", "enum size struct_size", "`enum` in: enum size");
        assert_said("const char *uri,", "const char *uri, ...,", "`...` in: mlfa_status mlfa_open");
        assert_said(
            "const struct mlfa_store *store",
            "struct mlfa_options o",
            "a struct by value, `struct mlfa_options o",
        );
        assert_said(
            "size_t mlfa_count",
            "struct mlfa_options mlfa_count",
            "a struct by value, `struct mlfa_options",
        );
        assert_said("const struct mlfa_options *options", "struct mlfa_options o", "a struct by value");
    }

    #[test]
    fn older_headers_are_kept() {
        let lost = |from: &str, to: &str| {
            assert!(GOOD.contains(from), "{from:?} is not in the header");
            lost(GOOD, &GOOD.replace(from, to)).join("; ")
        };
        assert_eq!(lost("", ""), "");
        assert_eq!(lost("uint32_t struct_size;", "uint32_t struct_size; uint32_t more;"), "");
        assert_eq!(lost("#define", "#define MLFA_MORE 2\n#define"), "");
        assert_eq!(lost("VERSION 1", "VERSION 2"), "#define MLFA_ABI_VERSION 1");
        let fields = "typedef struct mlfa_options { uint32_t struct_size;";
        assert_eq!(lost("uint32_t struct_size;", "uint32_t more; uint32_t struct_size;"), fields);
        assert_eq!(lost("uint32_t struct_size;", "uint64_t struct_size;"), fields);
    }

    #[test]
    fn experimental_functions_are_named_and_guarded() {
        assert_said("mlfa_count", "mlfa_x_count", "mlfa_x_count: the functions behind MLFA_EXPERIMENTAL");
        let guarded = |name: &str| {
            GOOD.replace("/**\n * How many", "#ifdef MLFA_EXPERIMENTAL\n/**\n * How many")
                .replace("size_t mlfa_count", &format!("size_t {name}"))
                + "#endif\n"
        };
        assert_eq!(said(GOOD, &guarded("mlfa_x_count")), "");
        assert_said(GOOD, &guarded("mlfa_count"), "mlfa_count: the functions behind MLFA_EXPERIMENTAL");
    }
}
