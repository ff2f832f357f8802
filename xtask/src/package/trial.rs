//! Packages as their users meet them: installed, run, changed, upgraded and removed by `dpkg` and by `rpm`. Each in a copy of this
//! system (an overlay over `/`, in a mount namespace), so that nothing of it stays. What is done there is
//! `packaging/try.sh`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::repo;

/// Tries the packages of both formats.
pub fn run(files: &[PathBuf]) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("trying packages takes root: a mount namespace, dpkg and rpm. Run it with sudo.");
    }
    for program in ["dpkg", "rpm", "unshare"] {
        if !repo::has_program(program) {
            bail!("{program} is missing. Install it, or leave out --try.");
        }
    }
    for format in ["deb", "rpm"] {
        let is_it = |file: &&PathBuf| file.extension().is_some_and(|ending| ending == format);
        let [client, peer] = testbed::free_ports(2)?[..] else { bail!("no free ports") };
        println!("package: trying every .{format}");
        let mut trial = Command::new("unshare");
        trial.args(["--mount", "--pid", "--fork", "bash", "packaging/try.sh", format]);
        trial.args([client.to_string(), peer.to_string()]).args(files.iter().filter(is_it));
        repo::run(trial.current_dir(repo::root()))?;
    }
    Ok(())
}
