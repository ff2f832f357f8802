//! Where the work tree and the caches are, and how a command of someone else's is run with its failure told.
//! Not for Quorate's own servers: `cluster` starts those.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The root of the work tree: the one cargo runs us for, else the one around the working directory.
///
/// Not only the one we were built in: a build folder kept for several clones may hold a program of another.
pub fn root() -> PathBuf {
    let is_root = |folder: &Path| folder.join("xtask/Cargo.toml").is_file();
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let given = manifest.as_deref().and_then(Path::parent).filter(|folder| is_root(folder));
    let here = std::env::current_dir().unwrap_or_default();
    let around = given.or_else(|| here.ancestors().find(|folder| is_root(folder)));
    let built_in = || Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    around.or_else(built_in).expect("xtask is a folder of the workspace").to_path_buf()
}

/// Where things that outlive one clone are kept: `$QUORATE_CACHE_DIR`, else `/var/tmp/quorate-cache`.
pub fn cache_dir() -> PathBuf {
    std::env::var_os("QUORATE_CACHE_DIR")
        .map_or_else(|| PathBuf::from("/var/tmp/quorate-cache"), PathBuf::from)
}

/// Cargo's build folder, as cargo itself finds it.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A `Command` for this cargo, run at the root of the work tree.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a command with its output shown; fails when it does.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("{shown}: could not be started; is it installed?"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}

/// Runs a command and gives back what it printed on its standard output; what it printed is in the error.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{shown}: could not be started; is it installed?"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{shown}: {}\n{text}{errors}", output.status);
    }
    Ok(text)
}

/// Whether a program is on the `PATH`.
pub fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}
