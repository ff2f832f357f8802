//! The command itself: builds the programs, then every package in both formats, and installs them where that is asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::contents::{Built, PACKAGES};
use super::{deb, pages, redhat, trial};
use crate::repo;

#[derive(clap::Args)]
pub struct Options {
    /// Where the packages go (default: target/package)
    #[arg(long)]
    to: Option<PathBuf>,
    /// Take the unoptimised programs: for trying the packages, not for shipping them
    #[arg(long)]
    dev: bool,
    /// Install each package, run it, change it, remove it, all in a copy of this system that is thrown away. Takes root
    #[arg(long = "try")]
    is_tried: bool,
}

pub fn run(options: &Options) -> Result<()> {
    let profile = if options.dev { "debug" } else { "release" };
    let mut build = repo::cargo();
    build.args(["build", "--locked"]);
    if options.dev {
        // What the tests have built already.
        build.args(["--workspace", "--bins"]);
    } else {
        build.arg("--release");
        for package in ["quorate-server", "quoratectl", "quorate-tui", "quorate-backup-agent"] {
            build.args(["--package", package]);
        }
    }
    repo::run(&mut build)?;
    let folder = options.to.clone().unwrap_or_else(|| repo::root().join("target/package"));
    let mut programs = repo::target_dir().join(profile);
    let pages = tempfile::Builder::new().prefix("quorate-pages-").tempdir()?;
    pages::write(&programs, pages.path())?;
    if options.dev {
        programs = without_symbols(&programs, &pages.path().join("bin"))?;
    }
    let built = Built { programs: &programs, pages: pages.path() };
    let files = build_all(&built, &folder)?;
    for file in &files {
        println!("{} ({} KiB)", file.display(), fs::metadata(file)?.len() / 1024);
    }
    if options.is_tried { trial::run(&files) } else { Ok(()) }
}

/// Copies without the line tables of unoptimised programs, which take minutes to compress.
fn without_symbols(programs: &Path, to: &Path) -> Result<PathBuf> {
    fs::create_dir_all(to)?;
    for name in PACKAGES.iter().flat_map(|package| package.programs()) {
        let mut strip = Command::new("strip");
        repo::run(strip.arg("-o").arg(to.join(name)).arg(programs.join(name)))?;
    }
    Ok(to.to_owned())
}

/// Builds every package from programs and pages that are already built.
fn build_all(built: &Built<'_>, folder: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let version = env!("CARGO_PKG_VERSION");
    let mut files = Vec::new();
    for package in &PACKAGES {
        files.push(deb::build(package, built, version, folder)?);
        files.push(redhat::build(package, built, version, folder)?);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packages of planted programs (any ELF file will do), in a folder of their own.
    fn packages() -> (tempfile::TempDir, Vec<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        let programs = folder.path().join("bin");
        fs::create_dir(&programs).unwrap();
        for name in PACKAGES.iter().flat_map(|package| package.programs()) {
            fs::copy("/bin/true", programs.join(name)).unwrap();
        }
        let pages = folder.path().join("pages");
        for name in PACKAGES.iter().flat_map(|package| package.programs()) {
            plant_pages(&pages.join(name), name);
        }
        let built = Built { programs: &programs, pages: &pages };
        let files = build_all(&built, &folder.path().join("out")).unwrap();
        (folder, files)
    }

    fn plant_pages(folder: &Path, name: &str) {
        let section = if name == "quorate-server" { 8 } else { 1 };
        let scripts = [format!("{name}.bash"), format!("_{name}"), format!("{name}.fish")];
        let scripts = scripts.map(|script| folder.join("completions").join(script));
        for file in scripts.iter().chain([&folder.join("man").join(format!("{name}.{section}"))]) {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, name).unwrap();
        }
    }

    fn ending<'a>(files: &'a [PathBuf], name: &str, end: &str) -> &'a Path {
        let is_it = |file: &&PathBuf| {
            let file = file.file_name().unwrap().to_string_lossy();
            file.starts_with(name) && file.ends_with(end)
        };
        files.iter().find(is_it).unwrap()
    }

    /// dpkg reads the package: its fields, its files with their modes and owner, its settings file, its scripts.
    #[test]
    fn dpkg_reads_the_deb() {
        let (_folder, files) = packages();
        let deb = ending(&files, "quorate-server", ".deb");
        let dpkg = |option| repo::output(Command::new("dpkg-deb").arg(option).arg(deb)).unwrap();
        let fields = dpkg("-I");
        for part in ["Package: quorate-server", "libc6 (>= 2.", "systemd", "postinst", "conffiles"]
        {
            assert!(fields.contains(part), "{part} in\n{fields}");
        }
        let listing = dpkg("-c");
        let line =
            |path: &str| listing.lines().find(|line| line.ends_with(path)).unwrap().to_owned();
        assert!(line("./usr/bin/quorate-server").starts_with("-rwxr-xr-x root/root"));
        assert!(line("./etc/default/quorate-server").starts_with("-rw-r----- root/root"));
        assert!(listing.contains("./usr/lib/systemd/system/quorate-server.service"));
        assert!(line("man8/quorate-server.8.gz").starts_with("-rw-r--r-- root/root"));
        line("./usr/share/zsh/vendor-completions/_quorate-server");
    }

    /// The RPM parses, requires the C library it was linked with, and keeps edited settings.
    #[test]
    fn the_rpm_parses() {
        let (_folder, files) = packages();
        let package = rpm::Package::open(ending(&files, "quorate-server", ".rpm")).unwrap();
        let metadata = &package.metadata;
        assert_eq!(metadata.get_name().unwrap(), "quorate-server");
        let paths = metadata.get_file_paths().unwrap();
        for path in
            ["/usr/lib/systemd/system/quorate-server.service", "/usr/share/doc/quorate-server"]
        {
            assert!(paths.contains(&PathBuf::from(path)), "{path}");
        }
        let requires = metadata.get_requires().unwrap();
        assert!(requires.iter().any(|need| need.name.starts_with("libc.so.6(GLIBC_2.")));
        let entries = metadata.get_file_entries().unwrap();
        let settings =
            entries.iter().find(|e| e.path() == Path::new("/etc/default/quorate-server"));
        assert!(settings.unwrap().flags().contains(rpm::FileFlags::NOREPLACE));
    }

    /// `rpm` itself, as its users run it, lists the files and finds the digests right.
    #[test]
    fn rpm_reads_the_rpm() {
        let (_folder, files) = packages();
        let tools = ending(&files, "quorate-tools", ".rpm");
        if !repo::has_program("rpm") {
            // `cargo xtask test` installs it; the test above needs no program.
            return;
        }
        let rpm =
            |options: &str| repo::output(Command::new("rpm").arg(options).arg(tools)).unwrap();
        let listing = rpm("-qpl");
        for name in ["quoratectl", "quorate-tui", "quorate-backup-agent"] {
            let files = [
                format!("/usr/bin/{name}"),
                format!("/usr/share/man/man1/{name}.1.gz"),
                format!("/usr/share/bash-completion/completions/{name}"),
                format!("/usr/share/zsh/site-functions/_{name}"),
                format!("/usr/share/fish/vendor_completions.d/{name}.fish"),
            ];
            for file in files {
                assert!(listing.lines().any(|line| line == file), "{file} in\n{listing}");
            }
        }
        assert!(rpm("-K").contains("digests"), "{}", rpm("-K"));
    }
}
