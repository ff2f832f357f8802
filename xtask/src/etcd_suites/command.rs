//! The command itself: links the programs under etcd's names, builds the suites with Go, runs test after test.
//!
//! Each test is a process of its own, since some end theirs (a panic), and one after the other, since all use the same
//! ports (20000 and up).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::outcome::{Outcome, Summary, known};
use crate::{reference, repo};

/// etcd's black-box suites: folders of its `tests` module.
const SUITES: [&str; 2] = ["common", "e2e"];
/// A test that takes longer hangs; etcd's own slowest takes a minute.
const TEST_TIME_MAX: &str = "400s";

#[derive(clap::Args)]
pub struct Options {
    /// A checkout of etcd's source at v3.7.1
    #[arg(long)]
    source: PathBuf,
    /// Only tests whose name this pattern finds
    #[arg(long, default_value = ".")]
    run: String,
    /// Only this suite: common or e2e
    #[arg(long)]
    suite: Option<String>,
    /// Stand quoratectl in etcdctl's and etcdutl's place too, not real etcd's tools
    #[arg(long)]
    own_tools: bool,
    /// Another program in the server's place
    #[arg(long)]
    server: Option<PathBuf>,
}

pub fn run(options: &Options) -> Result<()> {
    let tests = options.source.join("tests");
    if !tests.join("e2e").is_dir() {
        bail!(
            "{} is no source of etcd. Check out https://github.com/etcd-io/etcd at v3.7.1.",
            options.source.display()
        );
    }
    let tests = tests.canonicalize().with_context(|| tests.display().to_string())?;
    let home = repo::target_dir().join("etcd-suites");
    let programs = link_programs(options, &home)?;
    let page = repo::root().join("docs/etcd-suites.md");
    let known = known(&fs::read_to_string(&page).with_context(|| page.display().to_string())?);
    let wanted = |suite: &str| options.suite.as_deref().is_none_or(|only| only == suite);
    let suites: Vec<_> = SUITES.into_iter().filter(|suite| wanted(suite)).collect();
    if suites.is_empty() {
        bail!("no such suite. Choose one of {}.", SUITES.join(", "));
    }
    let mut summary = Summary::default();
    for suite in suites {
        let suite = Suite::build(&tests, suite, &home)?;
        for test in suite.tests(&options.run)? {
            let start = Instant::now();
            let outcome = suite.run(&test, &programs)?;
            let reason = known.get(&test).map(String::as_str);
            summary.add(&test, outcome, reason);
            let note = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
            println!("{outcome} {test} {:.0} s{note}", start.elapsed().as_secs_f64());
        }
    }
    println!("{summary}");
    if !summary.surprises.is_empty() {
        let logs = home.join("logs");
        bail!("{} failed. See {}.", summary.surprises.join(", "), logs.display());
    }
    Ok(())
}

/// A folder with the programs under the names that the suites look for.
fn link_programs(options: &Options, home: &Path) -> Result<PathBuf> {
    let built = repo::target_dir().join("debug");
    let mut build = repo::cargo();
    build.args(["build", "--locked", "-p", "quorate-server", "-p", "quoratectl"]);
    if options.server.is_none() || options.own_tools {
        repo::run(&mut build)?;
    }
    let server = options.server.clone().unwrap_or_else(|| built.join("quorate-server"));
    let (ctl, utl) = if options.own_tools {
        (built.join("quoratectl"), built.join("quoratectl"))
    } else {
        let real = reference::ensure(reference::Version::V3_7_1, false)?;
        (real.join("etcdctl"), real.join("etcdutl"))
    };
    let folder = home.join("bin");
    reference::replace(&folder, |fresh| {
        for (program, name) in [(server, "etcd"), (ctl, "etcdctl"), (utl, "etcdutl")] {
            let program = program.canonicalize().with_context(|| program.display().to_string())?;
            symlink(&program, fresh.join(name)).with_context(|| name.to_owned())?;
        }
        Ok(())
    })?;
    folder.canonicalize().with_context(|| folder.display().to_string())
}

/// A built suite.
struct Suite {
    program: PathBuf,
    /// Where its tests look for certificates beside them.
    folder: PathBuf,
    logs: PathBuf,
}

impl Suite {
    fn build(tests: &Path, name: &str, home: &Path) -> Result<Suite> {
        let logs = home.join("logs").join(name);
        fs::create_dir_all(&logs).with_context(|| logs.display().to_string())?;
        let home = home.canonicalize().with_context(|| home.display().to_string())?;
        let program = home.join(format!("{name}.test"));
        let mut build = Command::new("go");
        build.current_dir(tests).args(["test", "-c", "-tags", "e2e", "-o"]).arg(&program);
        repo::run(build.arg(format!("./{name}")))?;
        Ok(Suite { program, folder: tests.join(name), logs })
    }

    fn tests(&self, pattern: &str) -> Result<Vec<String>> {
        let mut list = Command::new(&self.program);
        let names = repo::output(list.current_dir(&self.folder).args(["-test.list", pattern]))?;
        Ok(names.lines().filter(|name| name.starts_with("Test")).map(str::to_owned).collect())
    }

    fn run(&self, test: &str, programs: &Path) -> Result<Outcome> {
        let log = self.logs.join(format!("{test}.log"));
        let shown = || log.display().to_string();
        let file = fs::File::create(&log).with_context(shown)?;
        Command::new(&self.program)
            .current_dir(&self.folder)
            .args(["-test.v", "-test.timeout", TEST_TIME_MAX])
            .args(["-test.run", &format!("^{test}$")])
            .arg("-bin-dir")
            .arg(programs)
            .stdin(Stdio::null())
            .stdout(file.try_clone().with_context(shown)?)
            .stderr(file)
            .status()
            .with_context(|| self.program.display().to_string())?;
        let printed = fs::read(&log).with_context(shown)?;
        Ok(Outcome::of(test, &String::from_utf8_lossy(&printed)))
    }
}
