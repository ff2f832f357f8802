//! The RPM package, written by the `rpm` crate: no `rpmbuild` and no spec file.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rpm::{BuildConfig, CompressionType, Dependency, FileOptions, PackageBuilder};

use super::contents::{Built, Format, Package};
use super::{deb, glibc};

/// `$1` is 1 at a first installation and 2 at an upgrade.
const AFTER_INSTALL: &str = "\
systemd-sysusers quorate-server.conf
systemd-tmpfiles --create quorate-server.conf
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    if [ \"$1\" -gt 1 ]; then systemctl try-restart quorate-server.service; fi
fi
";

/// `$1` is 0 at a removal and 1 at an upgrade.
const BEFORE_REMOVE: &str = "\
if [ \"$1\" -eq 0 ] && [ -d /run/systemd/system ]; then
    systemctl disable --now quorate-server.service
fi
";

const AFTER_REMOVE: &str = "\
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
if [ \"$1\" -eq 0 ] && [ -d /var/lib/quorate ]; then
    echo \"quorate-server: the data in /var/lib/quorate was left. Delete it by hand once no member needs it.\"
fi
";

/// Builds `package` and gives the file's path.
pub fn build(
    package: &Package,
    built: &Built<'_>,
    version: &str,
    folder: &Path,
) -> Result<PathBuf> {
    let architecture = std::env::consts::ARCH;
    let mut builder =
        PackageBuilder::new(package.name, version, "Apache-2.0", architecture, package.summary);
    builder
        .using_config(BuildConfig::v4().compression(CompressionType::Gzip))
        .release("1")
        .description(package.description)
        .build_host("localhost");
    // A folder that no package owns stays behind when its files are removed.
    let docs = format!("/usr/share/doc/{}", package.name);
    builder.with_dir_entry(FileOptions::dir(&docs).permissions(0o755))?;
    for file in package.files(built, Format::Rpm)? {
        let mut options = FileOptions::new(&file.to).permissions(file.mode);
        if file.is_config {
            options = options.config().noreplace();
        }
        if ["/usr/share/doc/", "/usr/share/man/"].iter().any(|docs| file.to.starts_with(docs)) {
            options = options.doc();
        }
        builder.with_file(&file.from, options)?;
    }
    let paths = deb::paths(package, built.programs);
    let minor = glibc::minor_needed(paths.iter().map(PathBuf::as_path))?;
    builder.requires(Dependency::any(format!("libc.so.6(GLIBC_2.{minor})(64bit)")));
    if package.is_service {
        builder
            .requires(Dependency::any("systemd"))
            .post_install_script(AFTER_INSTALL)
            .pre_uninstall_script(BEFORE_REMOVE)
            .post_uninstall_script(AFTER_REMOVE);
    }
    let file = folder.join(format!("{}-{version}-1.{architecture}.rpm", package.name));
    builder.build()?.write_file(&file)?;
    Ok(file)
}
