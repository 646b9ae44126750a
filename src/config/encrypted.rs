//! The doors where nobody reads along: DNS over TLS, HTTPS and QUIC, and their certificate.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Listening;
use super::check::{Checker, Placed, values};
use super::error::Place;
use super::raw::{Given, List, RawDns};
use super::sections::PASSED;

/// The doors and their certificate, checked.
pub(super) struct Encrypted {
    pub(super) tls: Vec<SocketAddr>,
    pub(super) https: Vec<SocketAddr>,
    pub(super) quic: Vec<SocketAddr>,
    pub(super) cert_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
}

impl Checker<'_> {
    /// The doors with TLS, apart from the others: `dns`, `http`, `udp`, and HTTP with TLS.
    pub(super) fn encrypted(
        &mut self,
        raw: &RawDns,
        passed: &Listening,
        [dns, http, udp, http_tls]: [&[Placed<SocketAddr>]; 4],
    ) -> Encrypted {
        let tls = self.door("dns.tls_listen", &raw.tls_listen, &passed.tls);
        let https = self.door("dns.https_listen", &raw.https_listen, &passed.https);
        let quic = self.door("dns.quic_listen", &raw.quic_listen, &passed.quic);
        for (key, listen) in [("dns.tls_listen", &tls), ("dns.https_listen", &https)] {
            self.apart(key, listen, "dns.listen (TCP)", dns);
            self.apart(key, listen, "http.listen (TCP)", http);
            self.apart(key, listen, "http.tls_listen", http_tls);
        }
        self.apart("dns.tls_listen", &tls, "dns.https_listen (TCP)", &https);
        self.apart("dns.quic_listen", &quic, "dns.listen (UDP)", dns);
        self.apart("dns.quic_listen", &quic, "udp.listen (UDP)", udp);
        let cert_file = self.secret_path("dns.tls_cert_file", &raw.tls_cert_file);
        let key_file = self.secret_path("dns.tls_key_file", &raw.tls_key_file);
        let doors =
            [("dns.tls_listen", &tls), ("dns.https_listen", &https), ("dns.quic_listen", &quic)];
        let door = doors.iter().find_map(|(key, listen)| Some((listen.first()?.place, *key)));
        let files =
            [("dns.tls_cert_file", &raw.tls_cert_file), ("dns.tls_key_file", &raw.tls_key_file)];
        self.certificate_is_whole(door, files);
        Encrypted {
            tls: values(tls),
            https: values(https),
            quic: values(quic),
            cert_file,
            key_file,
        }
    }

    fn door(&mut self, key: &str, given: &List, passed: &[SocketAddr]) -> Vec<Placed<SocketAddr>> {
        self.listen(key, given, &[(PASSED, passed)], None)
    }

    /// A door with TLS needs both files, and one file is of no use without the other.
    pub(super) fn certificate_is_whole(
        &mut self,
        door: Option<(Place, &str)>,
        [cert, key]: [(&str, &Given<String>); 2],
    ) {
        for ((needed, file), (other, other_file)) in [(cert, key), (key, cert)] {
            if file.is_some() {
                continue;
            }
            let other = other_file.as_ref().map(|given| (self.place_of(given), other));
            if let Some((place, needs)) = door.or(other) {
                let text = format!("{needs} needs {needed}: name the PEM file with it");
                self.problem(place, text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::tests::{defaults, load};

    const FILES: &str = "dns.tls_cert_file = '/c.pem'\ndns.tls_key_file = '/k.pem'\n";

    /// What is wrong with a file, a line a problem.
    fn wrong(text: &str) -> Vec<String> {
        let problems = load(text).unwrap_err();
        problems.lines().map(|line| line.split_once(": ").unwrap().1.to_owned()).collect()
    }

    #[test]
    fn doors_with_tls_are_off_and_open_with_a_certificate() {
        assert_eq!(defaults().dns.certificate_files(), None);
        assert_eq!(load(FILES).unwrap().dns.certificate_files(), None);
        for key in ["tls", "https", "quic"] {
            let text = format!("{FILES}dns.{key}_listen = ['127.0.0.1:853']");
            let files = Some((Path::new("/c.pem"), Path::new("/k.pem")));
            assert_eq!(load(&text).unwrap().dns.certificate_files(), files);
        }
    }

    #[test]
    fn a_door_with_tls_names_both_files() {
        let cert = "needs dns.tls_cert_file: name the PEM file with it";
        let key = "needs dns.tls_key_file: name the PEM file with it";
        for door in ["dns.tls_listen", "dns.https_listen", "dns.quic_listen"] {
            let expected = [format!("{door} {cert}"), format!("{door} {key}")];
            assert_eq!(wrong(&format!("{door} = ['127.0.0.1:853']")), expected);
        }
        assert_eq!(wrong("dns.tls_key_file = '/k'"), [format!("dns.tls_key_file {cert}")]);
        assert_eq!(wrong("dns.tls_cert_file = '/c'"), [format!("dns.tls_cert_file {key}")]);
    }

    #[test]
    fn doors_with_tls_share_no_address() {
        let shared = |keys: [&str; 2]| {
            wrong(&format!("{FILES}{} = ['127.0.0.1:7']\n{} = ['127.0.0.1:7']", keys[0], keys[1]))
        };
        for [first, second] in [
            ["dns.tls_listen", "dns.listen"],
            ["dns.tls_listen", "http.listen"],
            ["dns.https_listen", "dns.listen"],
            ["dns.tls_listen", "dns.https_listen"],
            ["dns.quic_listen", "dns.listen"],
            ["dns.quic_listen", "udp.listen"],
        ] {
            let found = shared([first, second]);
            assert!(found[0].contains(first) && found[0].contains(second), "{found:?}");
        }
        let text = "dns.tls_listen = ['127.0.0.1:853']\ndns.quic_listen = ['127.0.0.1:853']";
        assert!(load(&format!("{FILES}{text}")).is_ok(), "TCP and UDP have ports of their own");
    }
}
