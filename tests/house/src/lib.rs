//! What the house-rule tests share: where the repository is and which files it tracks.

use std::path::{Path, PathBuf};

/// The root of the repository.
///
/// # Panics
/// The package was moved out of `tests/house`.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("tests/house lies two below the root")
        .to_owned()
}

/// Every file below `directory` with this extension, sorted; build output is left out.
///
/// # Panics
/// A directory cannot be read.
pub fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()))
        {
            let path = entry.expect("a directory entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The lines of a Rust file before its `#[cfg(test)]` part.
///
/// # Panics
/// The file cannot be read.
pub fn production_lines(path: &Path) -> usize {
    let text = std::fs::read_to_string(path).expect("a readable source file");
    text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count()
}
