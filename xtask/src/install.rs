//! Installing the C library for programs to be built with: headers, libraries, and what pkg-config and `CMake` read.

use std::path::{Component, Path, PathBuf};

use crate::library::{self, Library, NATIVE_LIBRARIES, replace_link, series, shared_name, soname, version};
use crate::process::{Outcome, fail};
use crate::root;

/// Where below a prefix things stand, as relative paths.
pub(crate) struct Layout {
    lib: PathBuf,
    include: PathBuf,
}

impl Layout {
    /// The directories, which may be given relative to the prefix or as absolute paths below it.
    pub(crate) fn new(prefix: &Path, lib: &Path, include: &Path) -> Outcome<Self> {
        Ok(Layout { lib: below(prefix, lib)?, include: below(prefix, include)? })
    }

    /// From the directory `inner` of the libraries' directory up to the prefix, such as `../..`.
    fn up_from(&self, inner: &str) -> String {
        vec![".."; self.lib.join(inner).components().count()].join("/")
    }

    /// The prefix as the pkg-config file finds it when the tree may stand anywhere.
    pub(crate) fn relocatable_prefix(&self) -> String {
        format!("${{pcfiledir}}/{}", self.up_from("pkgconfig"))
    }
}

/// Only what stands below the prefix can be found from the place of the `CMake` files.
fn below(prefix: &Path, directory: &Path) -> Outcome<PathBuf> {
    let relative = directory.strip_prefix(prefix).unwrap_or(directory);
    if relative.components().all(|component| matches!(component, Component::Normal(_))) {
        return Ok(relative.to_owned());
    }
    fail(format!("{} is not below the prefix {}", directory.display(), prefix.display()))
}

/// Builds the release library and installs it below `prefix`, or below `destdir` as if that were the root.
pub(crate) fn run(prefix: &Path, destdir: Option<&Path>, lib: &Path, include: &Path) -> Outcome {
    let prefix = std::path::absolute(prefix)?;
    let layout = Layout::new(&prefix, lib, include)?;
    let library = library::build("release")?;
    let top = match destdir {
        Some(destdir) => destdir.join(prefix.strip_prefix("/").unwrap_or(&prefix)),
        None => prefix.clone(),
    };
    for path in place(&library, &top, &layout, &prefix.display().to_string())? {
        println!("{}", path.display());
    }
    Ok(())
}

/// Puts everything below `top`; `prefix` is what the pkg-config file calls it. Answers the paths of the files.
pub(crate) fn place(library: &Library, top: &Path, layout: &Layout, prefix: &str) -> Outcome<Vec<PathBuf>> {
    let (include, lib) = (top.join(&layout.include), top.join(&layout.lib));
    let mut placed = place_headers(&include)?;
    placed.extend(place_libraries(library, &lib)?);
    placed.extend(place_descriptions(&lib, layout, prefix)?);
    Ok(placed)
}

fn place_headers(include: &Path) -> Outcome<Vec<PathBuf>> {
    std::fs::create_dir_all(include)?;
    let mut placed = Vec::new();
    for entry in std::fs::read_dir(root().join("include"))? {
        let header = entry?.path();
        if header.extension().is_some_and(|extension| extension == "h" || extension == "hpp") {
            let installed = include.join(header.file_name().unwrap_or_default());
            std::fs::copy(&header, &installed)?;
            placed.push(installed);
        }
    }
    placed.sort();
    Ok(placed)
}

fn place_libraries(library: &Library, lib: &Path) -> Outcome<[PathBuf; 4]> {
    std::fs::create_dir_all(lib)?;
    let shared_name = PathBuf::from(shared_name());
    let placed = [
        lib.join(&shared_name),
        lib.join(soname()),
        lib.join("libmlflow_artifacts.so"),
        lib.join("libmlflow_artifacts.a"),
    ];
    let [shared, soname_link, plain_link, archive] = &placed;
    // A program that runs may have the old library mapped: never write into it.
    let _ = std::fs::remove_file(shared);
    std::fs::copy(&library.shared, shared)?;
    replace_link(soname_link, &shared_name)?;
    replace_link(plain_link, &shared_name)?;
    std::fs::copy(&library.archive, archive)?;
    Ok(placed)
}

fn place_descriptions(lib: &Path, layout: &Layout, prefix: &str) -> Outcome<Vec<PathBuf>> {
    let templates = [
        ("pkgconfig", "mlflow_artifacts.pc", include_str!("../templates/mlflow_artifacts.pc")),
        (
            "cmake/mlflow_artifacts",
            "mlflow_artifactsConfig.cmake",
            include_str!("../templates/mlflow_artifactsConfig.cmake"),
        ),
        (
            "cmake/mlflow_artifacts",
            "mlflow_artifactsConfigVersion.cmake",
            include_str!("../templates/mlflow_artifactsConfigVersion.cmake"),
        ),
    ];
    let mut placed = Vec::new();
    for (directory, name, template) in templates {
        let file = lib.join(directory).join(name);
        std::fs::create_dir_all(lib.join(directory))?;
        std::fs::write(&file, fill(template, layout, prefix, &layout.up_from(directory)))?;
        placed.push(file);
    }
    Ok(placed)
}

/// The template with its `@NAME@`s replaced.
fn fill(template: &str, layout: &Layout, prefix: &str, up: &str) -> String {
    let native_list: Vec<_> = NATIVE_LIBRARIES.iter().map(|flag| flag.trim_start_matches("-l")).collect();
    let values = [
        ("@PREFIX@", prefix.to_owned()),
        ("@UP@", up.to_owned()),
        ("@LIBDIR@", layout.lib.display().to_string()),
        ("@INCLUDEDIR@", layout.include.display().to_string()),
        ("@VERSION@", version().to_owned()),
        ("@SERIES@", series()),
        ("@SONAME@", soname()),
        ("@SHARED@", shared_name()),
        ("@NATIVE_FLAGS@", NATIVE_LIBRARIES.join(" ")),
        ("@NATIVE_LIST@", native_list.join(";")),
        ("@POINTER_SIZE@", size_of::<usize>().to_string()),
    ];
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value))
}
