//! The options that every client's subcommand has: which server, with which token, for whom.

use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, Args};

use crate::sidecar::url::DEFAULT_SERVER;
use crate::sidecar::{Client, TlsFiles};

use super::failure::Failure;

/// Octets of a token file at most: a longer one is something else.
const MAX_TOKEN_OCTETS: u64 = 4096;

/// Where the server is, and how to speak with it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Client options")]
pub(super) struct Connect {
    /// The server: http://host:port, https://host:port, host:port or unix:/path; several, or repeated, for `run` alone; for `query` the
    /// address and port that are asked over DNS
    #[arg(
        long,
        global = true,
        value_name = "SERVER",
        env = "ROLLCALL_SERVER",
        value_delimiter = ',',
        default_value = DEFAULT_SERVER
    )]
    server: Vec<String>,
    /// Whether `server` was given on the command line, not by the environment or as the default.
    #[arg(skip)]
    server_is_flag: bool,
    /// The bearer token; others on this machine can see it on a command line, but not in the environment
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "ROLLCALL_TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
    /// A file with the bearer token; comes before --token
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// The CAs that a server's certificate must come from [those that this system trusts]
    #[arg(long, global = true, value_name = "FILE", env = "ROLLCALL_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// A certificate to show to a server with TLS
    #[arg(long, global = true, value_name = "FILE", env = "ROLLCALL_CERT_FILE")]
    cert_file: Option<PathBuf>,
    /// The certificate's private key
    #[arg(long, global = true, value_name = "FILE", env = "ROLLCALL_CERT_KEY_FILE")]
    cert_key_file: Option<PathBuf>,
    /// Write JSON for programs instead of text for people
    #[arg(long, global = true)]
    pub(super) json: bool,
}

impl Connect {
    /// Where the server came from, which only the parsed command line knows.
    pub(super) fn note_source(&mut self, matches: &ArgMatches) {
        self.server_is_flag = matches.value_source("server") == Some(ValueSource::CommandLine);
    }

    /// The server as it was given on the command line, for what is not asked over HTTP.
    pub(super) fn server_flag(&self) -> Result<Option<&str>, Failure> {
        match &*self.server {
            _ if !self.server_is_flag => Ok(None),
            [server] => Ok(Some(server)),
            _ => Err(Failure::usage("one server is asked: name it with --server once")),
        }
    }

    /// A client of the one server.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        match &*self.clients()? {
            [client] => Ok(client.clone()),
            several => Err(Failure::usage(format!(
                "{} servers are given (--server, ROLLCALL_SERVER), and this is asked of one: name it with \
                 --server",
                several.len()
            ))),
        }
    }

    /// The files for TLS.
    pub(super) fn tls_files(&self) -> TlsFiles {
        TlsFiles {
            ca: self.ca_file.clone(),
            cert: self.cert_file.clone(),
            key: self.cert_key_file.clone(),
        }
    }

    /// Clients of all servers; at least one.
    pub(super) fn clients(&self) -> Result<Vec<Client>, Failure> {
        let token = match &self.token_file {
            Some(file) => Some(read_token(file)?),
            None => self.token.clone().filter(|token| !token.is_empty()),
        };
        let mut clients: Vec<Client> = Vec::new();
        for server in self.server.iter().filter(|server| !server.trim().is_empty()) {
            let client = Client::new(server, token.as_deref(), self.tls_files())?;
            // Two tasks for one server would be in each other's way.
            if !clients.iter().any(|other| other.server() == client.server()) {
                clients.push(client);
            }
        }
        if clients.is_empty() {
            clients.push(Client::new(DEFAULT_SERVER, token.as_deref(), self.tls_files())?);
        }
        Ok(clients)
    }
}

fn read_token(file: &Path) -> Result<String, Failure> {
    use std::io::Read;
    let complaint = |reason: String| {
        Failure::usage(format!("the token file {}: {reason} (--token-file)", file.display()))
    };
    let mut token = String::new();
    let opened = std::fs::File::open(file).map_err(|error| complaint(error.to_string()))?;
    let read = opened.take(MAX_TOKEN_OCTETS + 1).read_to_string(&mut token);
    let read = read.map_err(|error| complaint(error.to_string()))?;
    if u64::try_from(read).is_ok_and(|read| read > MAX_TOKEN_OCTETS) {
        return Err(complaint(format!("has more than {MAX_TOKEN_OCTETS} octets")));
    }
    match token.trim() {
        "" => Err(complaint("is empty".to_owned())),
        token => Ok(token.to_owned()),
    }
}
