//! Where the programs are: those of this build, and those that Debian packages bring.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// A program of this build: beside the running one, or where BGPD_RS_BIN_DIR says.
pub fn binary(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let asked = std::env::var_os("BGPD_RS_BIN_DIR").map(PathBuf::from);
    let beside = here.ancestors().skip(1).take(2).map(Path::to_owned);
    let found = asked.into_iter().chain(beside).map(|dir| dir.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not built: cargo build -p bgpd-rs -p bgpctl -p interop"))
}

/// The path of a program that a Debian package brings.
pub fn installed(program: &str, package: &str) -> Result<()> {
    let found = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
        .unwrap_or(false)
        || Path::new(program).is_file();
    if !found {
        bail!("{program} is missing (Debian package {package}): sudo scripts/setup");
    }
    Ok(())
}
