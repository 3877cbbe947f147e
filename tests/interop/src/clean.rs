//! Removing what labs left whose process is gone: namespaces with all that runs in them, directories, control groups.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::namespace::{PREFIX, leftovers, owner_lives, remove};
use crate::wait::{PATIENCE, until};

/// Where control groups are: those of v2, or of v1's memory controller.
pub const CGROUPS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/memory"];

/// Removes what is left of labs whose owner no longer lives, or of all labs, and says what.
pub fn clean(all: bool) -> Result<()> {
    for name in leftovers(all)? {
        remove(&name)?;
        println!("removed namespace {name}");
    }
    for path in left_in(&std::env::temp_dir(), all)? {
        fs::remove_dir_all(&path).with_context(|| path.display().to_string())?;
        println!("removed {}", path.display());
    }
    for top in CGROUPS.map(Path::new).into_iter().filter(|top| top.exists()) {
        for path in left_in(top, all)? {
            // Who was in it has been ended, which takes a moment.
            until(&format!("{} is removed", path.display()), PATIENCE, || {
                fs::remove_dir(&path)?;
                Ok(true)
            })?;
            println!("removed {}", path.display());
        }
    }
    Ok(())
}

/// What is called as things of labs are.
fn left_in(directory: &Path, all: bool) -> Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&format!("{PREFIX}-")) && (all || !owner_lives(&name)) {
            left.push(entry.path());
        }
    }
    Ok(left)
}
