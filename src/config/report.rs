//! What `check-config` says: all that a server with this configuration would stumble over.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Config, ConfigError, Environment, Overrides, resolv_conf};
use crate::registry::Protocol;

/// Mode bits that a file with a secret must not have: nobody but its owner writes it, and others do not read it.
const LOOSE_MODE: u32 = 0o027;
/// Octets of a token or key file that are looked at: a secret is far shorter.
const MAX_SECRET_OCTETS: u64 = 4096;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is as it should be.
    pub well: bool,
    /// What it is, and what is wrong with it if something is.
    pub text: String,
}

/// Everything that was looked at, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What was found.
    pub findings: Vec<Finding>,
}

/// What other rooms know: how a bound address and a zone file are judged.
pub struct Probes<'a> {
    /// Words for an address that cannot be bound, and who is there.
    pub bind_error: &'a mut dyn FnMut(Protocol, SocketAddr, &io::Error) -> String,
    /// What is wrong with the zone files in a directory, a line a problem.
    pub zone_files: &'a mut dyn FnMut(&Path) -> Vec<String>,
}

impl Report {
    /// Whether a server would start and have everything.
    pub fn is_well(&self) -> bool {
        self.findings.iter().all(|finding| finding.well)
    }

    /// A line for people for each thing.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.findings.iter().map(|Finding { well, text }| {
            let mark = if *well { "ok     " } else { "problem" };
            format!("{mark}  {text}")
        })
    }

    fn note(&mut self, what: &str, found: Result<&str, String>) {
        self.findings.push(match found {
            Ok(how) => Finding { well: true, text: format!("{what}: {how}") },
            Err(wrong) => Finding { well: false, text: format!("{what}: {wrong}") },
        });
    }
}

/// Looks at everything that a server with this configuration needs. Nothing is left behind: addresses are bound
/// and let go, and a file that is made to see whether the data directory can be written is removed.
pub fn check_config(path: Option<&Path>, overrides: &Overrides, probes: &mut Probes) -> Report {
    check_config_in(path, overrides, &Environment::of_process(), probes)
}

pub(super) fn check_config_in(
    path: Option<&Path>,
    overrides: &Overrides,
    environment: &Environment,
    probes: &mut Probes,
) -> Report {
    let mut report = Report::default();
    match Config::load_in(path, overrides, environment) {
        Ok(config) => {
            let source = path.map_or("the defaults".into(), |path| path.display().to_string());
            report.note("configuration", Ok(&source));
            look_around(&config, probes, &mut report);
        }
        Err(error) => wrong_settings(&error, &mut report),
    }
    report
}

fn wrong_settings(error: &ConfigError, report: &mut Report) {
    report.findings.extend(error.lines().map(|text| Finding { well: false, text }));
}

fn look_around(config: &Config, probes: &mut Probes, report: &mut Report) {
    use Protocol::{Tcp, Udp};
    let dns =
        config.dns.listen.iter().flat_map(|a| [("dns.listen", Udp, a), ("dns.listen", Tcp, a)]);
    let http = config.http.listen.iter().map(|address| ("http.listen", Tcp, address));
    let eureka = config.eureka.listen.iter().map(|address| ("eureka.listen", Tcp, address));
    let http = http.chain(eureka);
    let udp = config.udp.listen.iter().map(|address| ("udp.listen", Udp, address));
    let tls = config.dns.tls_listen.iter().map(|address| ("dns.tls_listen", Tcp, address));
    let https = config.dns.https_listen.iter().map(|address| ("dns.https_listen", Tcp, address));
    let quic = config.dns.quic_listen.iter().map(|address| ("dns.quic_listen", Udp, address));
    let encrypted = tls.chain(https).chain(quic);
    for (key, protocol, address) in dns.chain(encrypted).chain(http).chain(udp) {
        let found = bind(protocol, *address)
            .map(|()| "free")
            .map_err(|error| (probes.bind_error)(protocol, *address, &error));
        let protocol = protocol.as_str().to_ascii_uppercase();
        report.note(&format!("{key} {address} ({protocol})"), found);
    }
    zone_files(config.dns.zone_dir.as_deref(), probes, report);
    upstreams_file(config, report);
    if let Some(file) = &config.forward.ca_file {
        let found = match file.certificates.len() {
            1 => "has 1 certificate".to_owned(),
            count => format!("has {count} certificates"),
        };
        report.note(&format!("forward.ca_file {}", file.path.display()), Ok(found.as_str()));
    }
    let secrets = config.http.token_file.iter().map(|file| ("http.token_file", file));
    let keys = config.udp.key_files.iter().map(|file| ("udp.key_files", file));
    let cookies = config.dns.cookie_secret_file.iter();
    let cookies = cookies.map(|file| ("dns.cookie_secret_file", file));
    for (key, file) in secrets.chain(keys).chain(cookies) {
        report.note(&format!("{key} {}", file.display()), secret_file(file).map(|()| "readable"));
    }
    let data_dir = &config.store.data_dir;
    report.note(&format!("store.data_dir {}", data_dir.display()), writable(data_dir));
}

fn zone_files(directory: Option<&Path>, probes: &mut Probes, report: &mut Report) {
    let Some(directory) = directory else {
        report.note("dns.zone_dir", Ok("none, so there are no zone files"));
        return;
    };
    let what = format!("dns.zone_dir {}", directory.display());
    let wrong = (probes.zone_files)(directory);
    if wrong.is_empty() {
        report.note(&what, Ok("the zone files load"));
    }
    for line in wrong {
        report.note(&what, Err(line));
    }
}

/// A resolv.conf file that names nobody but ourselves forwards nothing.
fn upstreams_file(config: &Config, report: &mut Report) {
    let Some(path) = &config.forward.resolv_conf else { return };
    let found = match resolv_conf::read(path, &config.dns.listen) {
        Ok(read) if read.nameservers.is_empty() => Err(
            "names no server but this one, so nothing would be forwarded: add a line `nameserver ADDRESS`, or name \
             another file"
                .into(),
        ),
        Ok(_) => Ok("names upstreams"),
        Err(reason) => Err(reason),
    };
    report.note(&format!("forward.resolv_conf {}", path.display()), found);
}

/// Binds an address alone and lets it go. A server shares its ports among its own threads (SO_REUSEPORT), so a
/// socket without that is refused wherever one is.
fn bind(protocol: Protocol, address: SocketAddr) -> io::Result<()> {
    match protocol {
        Protocol::Udp => UdpSocket::bind(address).map(drop),
        Protocol::Tcp => TcpListener::bind(address).map(drop),
    }
}

/// A file with a secret can be read, has something in it, and is not for everybody's eyes.
fn secret_file(path: &Path) -> Result<(), String> {
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("is no file".into());
    }
    let mut text = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    io::Read::read_to_end(&mut io::Read::take(file, MAX_SECRET_OCTETS), &mut text)
        .map_err(unreadable)?;
    if text.trim_ascii().is_empty() {
        return Err(
            "is empty: put a secret in it, such as what `openssl rand -hex 32` gives".into()
        );
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & LOOSE_MODE != 0 {
        return Err(format!("has mode {mode:03o}, so others get at the secret: chmod 600 it"));
    }
    Ok(())
}

/// Whether files can be made in a directory, or in the nearest one above it that is there.
pub fn writable(directory: &Path) -> Result<&'static str, String> {
    let here = PathBuf::from(".");
    let above = directory.ancestors().map(|path| if path == Path::new("") { &here } else { path });
    let Some(nearest) = above.into_iter().find(|path| path.symlink_metadata().is_ok()) else {
        return Err("no directory above it is there".into());
    };
    if !nearest.is_dir() {
        return Err(format!("{} is no directory", nearest.display()));
    }
    let probe = nearest.join(format!(".rollcall-check-{}", std::process::id()));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&probe)
        .and_then(|_| fs::remove_file(&probe))
        .map_err(|error| format!("{} cannot be written: {error}", nearest.display()))?;
    Ok(if nearest == directory { "can be written" } else { "can be made" })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A report with nothing known of other rooms: words for what is bound, and `wrong` about zone files.
    fn report(path: &Path, wrong: &[&str]) -> Report {
        let mut probes = Probes {
            bind_error: &mut |_, address, _| format!("somebody is on {address}"),
            zone_files: &mut |_| wrong.iter().map(|line| (*line).to_owned()).collect(),
        };
        check_config_in(Some(path), &Overrides::default(), &Environment::default(), &mut probes)
    }

    #[test]
    fn a_report_tells_what_a_server_would_stumble_over() {
        let directory = tempfile::tempdir().unwrap();
        let here = |name: &str| directory.path().join(name).display().to_string();
        let path = directory.path().join("config.toml");
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (tcp, udp) = (
            tcp.local_addr().map(|a| (a, tcp)).unwrap(),
            udp.local_addr().map(|a| (a, udp)).unwrap(),
        );
        let text = format!(
            "dns.listen = ['127.0.0.1:0']\nhttp.listen = ['{}']\nudp.listen = ['{}']\n\
             dns.zone_dir = 'z'\nhttp.token_file = 'token'\nudp.key_files = ['k1', 'k2', 'k3']\n\
             store.data_dir = 'token/data'",
            tcp.0, udp.0
        );
        fs::write(&path, text).unwrap();
        fs::create_dir(here("z")).unwrap();
        for (name, text, mode) in [("token", "s", 0o644), ("k1", "s", 0o640), ("k2", " \n", 0o600)]
        {
            fs::write(here(name), text).unwrap();
            fs::set_permissions(here(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let report = report(&path, &["z/a.zone line 3: no"]);
        let lines: Vec<_> = report.lines().collect();
        let expected = [
            format!("ok       configuration: {}", path.display()),
            "ok       dns.listen 127.0.0.1:0 (UDP): free".into(),
            "ok       dns.listen 127.0.0.1:0 (TCP): free".into(),
            format!("problem  http.listen {0} (TCP): somebody is on {0}", tcp.0),
            format!("problem  udp.listen {0} (UDP): somebody is on {0}", udp.0),
            format!("problem  dns.zone_dir {}: z/a.zone line 3: no", here("z")),
            format!(
                "problem  http.token_file {}: has mode 644, so others get at the secret: chmod 600 it",
                here("token")
            ),
            format!("ok       udp.key_files {}: readable", here("k1")),
            format!(
                "problem  udp.key_files {}: is empty: put a secret in it, such as what \
                 `openssl rand -hex 32` gives",
                here("k2")
            ),
            format!(
                "problem  udp.key_files {}: cannot be read: No such file or directory (os error 2)",
                here("k3")
            ),
            format!(
                "problem  store.data_dir {}: {} is no directory",
                here("token/data"),
                here("token")
            ),
        ];
        assert_eq!(lines, expected);
        assert!(!report.is_well());
    }

    #[test]
    fn a_resolv_conf_names_somebody_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        let text = "dns.listen = ['127.0.0.1:0']\nhttp.listen = ['127.0.0.1:0']\nudp.listen = []\n\
                    store.data_dir = '.'\nforward.resolv_conf = 'r'";
        fs::write(&path, text).unwrap();
        for (lines, well) in [("nameserver 192.0.2.53", true), ("nameserver", false)] {
            fs::write(directory.path().join("r"), lines).unwrap();
            let report = report(&path, &[]);
            assert_eq!(report.is_well(), well, "{:?}", report.findings);
            let line = report.lines().find(|line| line.contains("forward.resolv_conf")).unwrap();
            assert!(line.ends_with("names upstreams") || line.contains("add a line"), "{line}");
        }
    }

    #[test]
    fn a_report_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        let text = "dns.listen = ['127.0.0.1:0']\nhttp.listen = ['127.0.0.1:0']\nudp.listen = []\n";
        for (data_dir, how) in [(".", "written"), ("a/b", "made")] {
            fs::write(&path, format!("{text}store.data_dir = '{data_dir}'")).unwrap();
            let report = report(&path, &[]);
            assert!(report.is_well(), "{:?}", report.findings);
            let last = report.findings.last().unwrap().text.clone();
            assert!(last.ends_with(&format!("can be {how}")), "{last}");
        }
        let left: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(left, std::slice::from_ref(&path));

        fs::write(&path, "store.data_dir = 'a'\nzones = 1").unwrap();
        let told = report(&path, &[]);
        assert!(!told.is_well());
        assert_eq!(told.findings.len(), 1);
    }
}
