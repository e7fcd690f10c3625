//! The tarball for those who do not build: library, headers, documents, licences and a bill of materials.

use std::path::{Path, PathBuf};

use crate::install::{self, Layout};
use crate::library::{self, Library, host, sysroot, version};
use crate::process::{Outcome, command, run};
use crate::{licences, linked_crates, root, sbom, target};

/// The name of the bill of materials.
pub(crate) const SBOM: &str = "mlflow-artifacts.cdx.json";

/// The name of the file with the crates' licences.
pub(crate) const LICENCES: &str = "THIRD-PARTY-LICENSES.txt";

/// Makes the tarball below `target/dist` and answers its path. The same sources and compiler give the same bytes.
pub(crate) fn make() -> Outcome<PathBuf> {
    let library = library::build("release")?;
    let directory = target().join("dist");
    std::fs::create_dir_all(&directory)?;
    let name = format!("mlflow-artifacts-{}-{}", version(), host()?);
    let work = tempfile::tempdir_in(&directory)?;
    fill(&library, &work.path().join(&name))?;
    let tarball = directory.join(format!("{name}.tar.gz"));
    pack(work.path(), &name, &tarball)?;
    Ok(tarball)
}

fn fill(library: &Library, tree: &Path) -> Outcome {
    let layout = Layout::new(tree, Path::new("lib"), Path::new("include"))?;
    install::place(library, tree, &layout, &layout.relocatable_prefix())?;
    for name in ["ABI.md", "CHANGELOG.md", "LICENSE", "README.md"] {
        std::fs::copy(root().join(name), tree.join(name))?;
    }
    let crates = linked_crates::find()?;
    std::fs::write(tree.join(SBOM), sbom::document(&crates)?)?;
    std::fs::write(tree.join(LICENCES), licences::document(&crates)?)?;
    // The standard library's own licences and those of the crates in it, as the compiler comes with them.
    let standard = sysroot()?.join("share/doc/rust/COPYRIGHT-library.html");
    std::fs::copy(standard, tree.join("THIRD-PARTY-LICENSES-std.html"))?;
    Ok(())
}

/// Nothing in the tarball depends on when, where and by whom it was made.
fn pack(directory: &Path, name: &str, tarball: &Path) -> Outcome {
    // reproducible-builds.org: the time of the sources, where their packager knows it. Else 1980, which zip has too.
    let time = std::env::var("SOURCE_DATE_EPOCH").unwrap_or_else(|_| "315532800".to_owned());
    let mut tar = command("tar", ["--create", "--format=ustar", "--sort=name", "--mode=u=rwX,go=rX"]);
    tar.args(["--owner=0", "--group=0", "--numeric-owner", "--use-compress-program=gzip --no-name --best"]);
    tar.arg(format!("--mtime=@{time}"))
        .arg("--file")
        .arg(tarball)
        .arg("--directory")
        .arg(directory)
        .arg(name);
    run(&mut tar)
}
