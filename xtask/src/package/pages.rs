//! Man pages and completion scripts of the packages. The tools write their own, from the definitions that their parsers use; the
//! server's are made from its tables of flags, which are not clap's.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::{Arg, ArgAction};
use clap_complete::Shell;
use flate2::{Compression, GzBuilder};

use super::contents::Format;
use crate::check::{FlagLine, server_flags};
use crate::repo;

/// A file that was made, and where it goes.
pub struct Page {
    pub from: PathBuf,
    pub to: String,
}

/// Has every program write its pages, each into a folder of its own name.
pub fn write(programs: &Path, into: &Path) -> Result<()> {
    server(&into.join("quorate-server"))?;
    let generate = [
        ("quoratectl", "generate"),
        ("quorate-backup-agent", "generate"),
        ("quorate-tui", "--generate"),
    ];
    for (name, word) in generate {
        repo::output(Command::new(programs.join(name)).arg(word).arg(into.join(name)))?;
    }
    Ok(())
}

fn server(into: &Path) -> Result<()> {
    let (man, completions) = (into.join("man"), into.join("completions"));
    for folder in [&man, &completions] {
        std::fs::create_dir_all(folder)?;
    }
    let command = server_command()?;
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).section("8").render(&mut page)?;
    std::fs::write(man.join("quorate-server.8"), page)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command.clone(), "quorate-server", &completions)?;
    }
    Ok(())
}

/// The server's command line as clap would have it, for its pages only.
fn server_command() -> Result<clap::Command> {
    let mut command = clap::Command::new("quorate-server")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Replicated key-value store that is a drop-in for etcd")
        .long_about(
            "One member of a cluster that speaks etcd v3.7.1's API, with etcd's flags. Every flag may also be given as the \
             variable ETCD_ and its name in upper case with _ for -, or as a key of --config-file, which replaces both.",
        )
        .after_help("quorate-server restore FILE makes a data directory from a snapshot; see quorate-server restore --help.");
    for FlagLine { group, name, default, help, .. } in server_flags()? {
        // clap keeps names as long as the program runs, and this one ends soon.
        let [name, group, default] = [name, group, default].map(|text| &*text.leak());
        let mut flag = Arg::new(name).long(name).help(help).help_heading(group);
        flag = flag.action(ArgAction::Set).value_name("VALUE");
        if !default.is_empty() {
            flag = flag.default_value(default);
        }
        command = command.arg(flag);
    }
    Ok(command)
}

/// The pages of a program, gzipped where the system wants them so, and where they go in packages of this format.
pub fn of(program: &str, made: &Path, format: Format) -> Result<Vec<Page>> {
    let folder = made.join(program);
    let mut pages = Vec::new();
    for from in files(&folder.join("man"))? {
        let name = from.file_name().context("a page has a name")?.to_string_lossy().into_owned();
        if let Some((_, section @ ("1" | "8"))) = name.rsplit_once('.') {
            let to = format!("/usr/share/man/man{section}/{name}.gz");
            pages.push(Page { from: gzip(&from)?, to });
        }
    }
    let zsh = match format {
        Format::Deb => "vendor-completions",
        Format::Rpm => "site-functions",
    };
    let scripts = [
        (format!("{program}.bash"), format!("bash-completion/completions/{program}")),
        (format!("_{program}"), format!("zsh/{zsh}/_{program}")),
        (format!("{program}.fish"), format!("fish/vendor_completions.d/{program}.fish")),
    ];
    for (name, to) in scripts {
        let from = folder.join("completions").join(name);
        pages.push(Page { from, to: format!("/usr/share/{to}") });
    }
    Ok(pages)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry?.path());
    }
    files.sort();
    Ok(files)
}

/// Beside the page, without a name or a time in it, so that the same page gives the same bytes.
fn gzip(page: &Path) -> Result<PathBuf> {
    let mut to = page.as_os_str().to_owned();
    to.push(".gz");
    let to = PathBuf::from(to);
    let file = std::fs::File::create(&to)?;
    let mut encoder = GzBuilder::new().mtime(0).write(file, Compression::best());
    encoder.write_all(&std::fs::read(page)?)?;
    encoder.finish()?;
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The server's page holds its flags with their defaults and meanings, and bash completes them.
    #[test]
    fn the_server_has_pages() {
        let folder = tempfile::tempdir().unwrap();
        server(&folder.path().join("quorate-server")).unwrap();
        let pages = of("quorate-server", folder.path(), Format::Deb).unwrap();
        let targets: Vec<&str> = pages.iter().map(|page| page.to.as_str()).collect();
        assert_eq!(
            targets,
            [
                "/usr/share/man/man8/quorate-server.8.gz",
                "/usr/share/bash-completion/completions/quorate-server",
                "/usr/share/zsh/vendor-completions/_quorate-server",
                "/usr/share/fish/vendor_completions.d/quorate-server.fish",
            ]
        );
        let page = repo::output(Command::new("gunzip").arg("-c").arg(&pages[0].from)).unwrap();
        assert!(page.contains("quota\\-backend\\-bytes"), "{page}");
        let script = std::fs::read_to_string(&pages[1].from).unwrap();
        assert!(script.contains("--initial-cluster-token"));
    }
}
