//! Content types by the extension of a name.

/// The content type of a file.
pub(crate) fn of(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
    match extension.as_str() {
        "txt" | "log" | "properties" | "mf" | "asc" => "text/plain",
        "json" => "application/json",
        "xml" | "xsd" | "xsl" => "application/xml",
        "html" | "htm" => "text/html",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "css" => "text/css",
        "yaml" | "yml" => "application/yaml",
        "pom" => "application/x-maven-pom+xml",
        "jar" | "war" | "ear" => "application/java-archive",
        "zip" => "application/zip",
        "tar" => "application/x-tar",
        "gz" | "tgz" => "application/x-gzip",
        "bz2" => "application/x-bzip2",
        "7z" => "application/x-7z-compressed",
        "deb" => "application/x-debian-package",
        "rpm" => "application/x-rpm",
        "md5" | "sha1" | "sha256" => "application/x-checksum",
        _ => "application/octet-stream",
    }
}
