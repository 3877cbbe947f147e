//! Removing what labs left whose process is gone: namespaces with all that runs in them, directories.

use std::fs;

use anyhow::{Context, Result};

use crate::namespace::{PREFIX, leftovers, owner_lives, remove};

/// Removes what is left of labs whose owner no longer lives, or of all labs, and says what.
pub fn clean(all: bool) -> Result<()> {
    for name in leftovers(all)? {
        remove(&name)?;
        println!("removed namespace {name}");
    }
    let temporary = std::env::temp_dir();
    for entry in fs::read_dir(&temporary).with_context(|| temporary.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&format!("{PREFIX}-")) && (all || !owner_lives(&name)) {
            fs::remove_dir_all(entry.path()).with_context(|| entry.path().display().to_string())?;
            println!("removed {}", entry.path().display());
        }
    }
    Ok(())
}
