//! What every check works with: clients, small assertions, and the one who kills members for us.

use std::fmt::Display;
use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Error, Identity, KeyValue, TlsOptions};

/// How long one check may take on a machine that does other things too.
const CHECK_MAX: Duration = Duration::from_secs(60);

/// What a check gives: words to print, or why it failed.
pub type Outcome = Result<String, Box<dyn std::error::Error + Send + Sync>>;

/// The command line.
pub struct Arguments {
    pub endpoints: Vec<String>,
    pub pki: String,
    pub folder: String,
    pub only: String,
}

impl Arguments {
    /// Flags are `--name=value`.
    pub fn read() -> Arguments {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let flag = |name: &str| {
            let found = words.iter().find_map(|word| word.strip_prefix(&format!("--{name}=")));
            found.unwrap_or_default().to_owned()
        };
        let endpoints = flag("endpoints").split(',').map(str::to_owned).collect();
        Arguments { endpoints, pki: flag("pki"), folder: flag("folder"), only: flag("only") }
    }
}

/// The cluster, and a client of all its members that nobody has signed in with.
pub struct Suite {
    pub arguments: Arguments,
    pub client: Client,
    has_failed: AtomicBool,
}

impl Suite {
    pub async fn new(arguments: Arguments) -> Suite {
        let client = connect(&arguments, &arguments.endpoints, "machine", None);
        let client = client.await.expect("a client can be made");
        Suite { arguments, client, has_failed: AtomicBool::new(false) }
    }

    /// A client of all members with the certificate of this CommonName.
    pub async fn connect(&self, name: &str, user: Option<(&str, &str)>) -> Result<Client, Error> {
        let client = connect(&self.arguments, &self.arguments.endpoints, name, user).await?;
        if user.is_some() {
            self.settle().await?;
        }
        Ok(client)
    }

    /// Waits until all members have what is committed: one of etcd that is behind knows no token made elsewhere.
    async fn settle(&self) -> Result<(), Error> {
        for url in &self.arguments.endpoints {
            let root = connect(&self.arguments, &[url.clone()], "root", None).await?;
            root.kv_client().get("none", None).await?;
        }
        Ok(())
    }

    /// A client of one member.
    pub async fn at(&self, url: &str) -> Result<Client, Error> {
        connect(&self.arguments, &[url.to_owned()], "machine", None).await
    }

    /// Prints the line of one check.
    pub async fn check(&self, name: &str, check: impl Future<Output = Outcome>) {
        if !name.starts_with(&self.arguments.only) {
            return;
        }
        let why = match tokio::time::timeout(CHECK_MAX, check).await {
            Ok(Ok(words)) => return println!("ok {name}: {words}"),
            Ok(Err(why)) => why.to_string(),
            Err(_) => "it took too long".to_owned(),
        };
        println!("FAILED {name}: {why}");
        self.has_failed.store(true, Ordering::Relaxed);
    }

    pub fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// The store's revision now.
    pub async fn revision(&self) -> Result<i64, Error> {
        let answer = self.client.kv_client().get("none", None).await?;
        Ok(answer.header().map_or(0, |header| header.revision()))
    }
}

async fn connect(
    arguments: &Arguments,
    endpoints: &[String],
    name: &str,
    user: Option<(&str, &str)>,
) -> Result<Client, Error> {
    let file = |name: &str| std::fs::read(format!("{}/{name}", arguments.pki));
    let identity = Identity::from_pem(
        file(&format!("client-{name}.pem"))?,
        file(&format!("client-{name}.key"))?,
    );
    let tls = TlsOptions::new().ca_certificate(Certificate::from_pem(file("ca.pem")?));
    let options = ConnectOptions::new()
        .with_tls(tls.identity(identity))
        .with_keep_alive(Duration::from_secs(10), Duration::from_secs(5))
        .with_connect_timeout(Duration::from_secs(20))
        .with_require_leader(true);
    let options = match user {
        Some((user, password)) => options.with_user(user, password),
        None => options,
    };
    Client::connect(endpoints, Some(options)).await
}

/// One line out, one line in: the test that started us does what a client cannot.
pub fn ask(what: &str) -> Result<String, String> {
    println!("ask {what}");
    std::io::stdout().flush().map_err(|error| error.to_string())?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|error| error.to_string())?;
    let answer = answer.trim().to_owned();
    if answer.starts_with("cannot") { Err(answer) } else { Ok(answer) }
}

/// Pairs with everything that is the same in every run.
pub fn told(pairs: &[KeyValue], base: i64) -> String {
    let word = |pair: &KeyValue| {
        let (key, value) = (text(pair.key()), text(pair.value()));
        let (created, changed) = (pair.create_revision() - base, pair.mod_revision() - base);
        format!("{key}={value}/c{created:+}/m{changed:+}/v{}", pair.version())
    };
    pairs.iter().map(word).collect::<Vec<_>>().join(" ")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Fails unless two things are written alike.
pub fn want(what: &str, found: impl Display, expected: impl Display) -> Result<(), String> {
    let (found, expected) = (found.to_string(), expected.to_string());
    if found == expected { Ok(()) } else { Err(format!("{what} is {found}, not {expected}")) }
}

/// The code and words of a call that must fail.
pub fn refused<T>(outcome: Result<T, Error>) -> Result<String, String> {
    match outcome {
        Ok(_) => Err("the call was not refused".to_owned()),
        Err(Error::GRpcStatus(status)) => Ok(format!("{:?} {}", status.code(), status.message())),
        Err(error) => Ok(error.to_string()),
    }
}

/// Calls again until the call succeeds with yes.
pub async fn until(mut call: impl AsyncFnMut() -> Result<bool, Error>) {
    while !matches!(call().await, Ok(true)) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
