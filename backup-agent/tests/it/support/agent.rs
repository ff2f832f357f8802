//! The agent's own program, run to its end.

use std::process::{Command, Output};

use super::s3::S3Server;

/// How the program is called.
#[derive(Clone, Default)]
pub struct Agent {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// What a run left.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Agent {
    /// Flags and environment for a store in the S3 server.
    pub fn with_s3(server: &S3Server, prefix: &str) -> Self {
        let mut agent = Self::default().with("--store", &server.store(prefix));
        agent = agent.with("--s3-endpoint", &server.url);
        agent.environment = server.credentials();
        agent
    }

    /// Flags for a store in a directory.
    pub fn with_directory(path: &std::path::Path) -> Self {
        Self::default().with("--store", &format!("file://{}", path.display()))
    }

    pub fn with(mut self, flag: &str, value: &str) -> Self {
        self.arguments.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    /// The command, not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quorate-backup-agent"));
        command.args(arguments).args(&self.arguments).envs(self.environment.clone());
        command
    }

    /// Runs the program off the test's runtime, which may serve the S3 server.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        let output = tokio::task::spawn_blocking(move || command.output());
        let Output { status, stdout, stderr } =
            output.await.expect("a task").expect("the program starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Ran { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) }
    }
}

impl Ran {
    /// Asserts success.
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Asserts a failure with this exit code.
    pub fn fails(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }
}
