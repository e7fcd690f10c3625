//! Installing the C library for programs to be built with.

use std::path::{Path, PathBuf};

use crate::library::{self, Library, NATIVE_LIBRARIES, replace_link, soname, version};
use crate::process::Outcome;
use crate::root;

/// Builds the release library and installs it below `prefix`, or below `destdir` as if that were the root.
pub(crate) fn run(prefix: &Path, destdir: Option<&Path>) -> Outcome {
    let prefix = std::path::absolute(prefix)?;
    let library = library::build("release")?;
    let top = match destdir {
        Some(destdir) => destdir.join(prefix.strip_prefix("/").unwrap_or(&prefix)),
        None => prefix.clone(),
    };
    for path in place(&library, &top, &prefix)? {
        println!("{}", path.display());
    }
    Ok(())
}

fn place(library: &Library, top: &Path, prefix: &Path) -> Outcome<Vec<PathBuf>> {
    let (include, lib) = (top.join("include"), top.join("lib"));
    let pkgconfig = lib.join("pkgconfig");
    std::fs::create_dir_all(&include)?;
    std::fs::create_dir_all(&pkgconfig)?;

    let shared_name = PathBuf::from(format!("libmlflow_artifacts.so.{}", version()));
    let placed = [
        include.join("mlflow_artifacts.h"),
        include.join("mlflow_artifacts.hpp"),
        lib.join(&shared_name),
        lib.join(soname()),
        lib.join("libmlflow_artifacts.so"),
        lib.join("libmlflow_artifacts.a"),
        pkgconfig.join("mlflow_artifacts.pc"),
    ];
    let [header, cpp_header, shared, soname_link, plain_link, archive, description] = &placed;
    std::fs::copy(root().join("include/mlflow_artifacts.h"), header)?;
    std::fs::copy(root().join("include/mlflow_artifacts.hpp"), cpp_header)?;
    // A program that runs may have the old library mapped: never write into it.
    let _ = std::fs::remove_file(shared);
    std::fs::copy(&library.shared, shared)?;
    replace_link(soname_link, &shared_name)?;
    replace_link(plain_link, &shared_name)?;
    std::fs::copy(&library.archive, archive)?;
    std::fs::write(description, pkgconfig_file(prefix))?;
    Ok(placed.into())
}

fn pkgconfig_file(prefix: &Path) -> String {
    format!(
        "prefix={}\nincludedir=${{prefix}}/include\nlibdir=${{prefix}}/lib\n\n\
         Name: mlflow_artifacts\nDescription: Store and fetch MLflow artifacts in any store, chosen by URI\n\
         Version: {}\nCflags: -I${{includedir}}\nLibs: -L${{libdir}} -lmlflow_artifacts\nLibs.private: {}\n",
        prefix.display(),
        version(),
        NATIVE_LIBRARIES.join(" ")
    )
}
