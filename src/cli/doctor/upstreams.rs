//! Upstreams: whether each that is configured answers for the root, which whoever resolves names can.

use std::thread;
use std::time::Duration;

use super::machine::Told;
use super::report::Finding;
use crate::config::{Config, resolv_conf};
use crate::dns::forward::exchange::tls::{Tls, system_cas};
use crate::dns::forward::exchange::udp::Sockets;
use crate::dns::forward::exchange::{self, Budget, Means};
use crate::dns::forward::message::{NOERROR, has_ra, rcode};
use crate::dns::forward::upstream::{Address, Upstream};
use crate::dns::forward::{Failure, Question};
use crate::dns::message;
use crate::view::wire::Name;
use crate::view::zones::types;

const ABOUT: &str = "forward";
/// Upstreams that are asked at one time: a dead one is waited for.
const AT_ONCE: usize = 16;
/// Upstreams that are asked.
const MOST: usize = 256;

/// Asks every upstream for the SOA record of the root.
pub(super) fn look(
    config: &Config,
    ask: &(dyn Fn(&Address) -> Result<Told, String> + Sync),
) -> Vec<Finding> {
    let forward = &config.forward;
    let mut findings = Vec::new();
    let mut upstreams: Vec<_> =
        forward.named().map(|(key, upstream)| (key, Address::from(upstream))).collect();
    if let Some(path) = &forward.resolv_conf {
        match resolv_conf::read(path, &config.dns.listen) {
            Ok(read) if read.nameservers.is_empty() => findings.push(Finding::problem(
                ABOUT,
                format!("{} names no server but this one", path.display()),
                "add a line `nameserver ADDRESS`, or name another file in forward.resolv_conf",
            )),
            Ok(read) => {
                let named = read.nameservers.iter().map(|address| Address::from(*address));
                upstreams.extend(named.map(|address| ("forward.resolv_conf", address)));
            }
            Err(reason) => findings.push(Finding::problem(
                ABOUT,
                format!("{} {reason}", path.display()),
                "name another file in forward.resolv_conf",
            )),
        }
    }
    upstreams.truncate(MOST);
    for some in upstreams.chunks(AT_ONCE) {
        findings.extend(thread::scope(|scope| {
            let asking = some
                .iter()
                .map(|(key, address)| (*key, address, scope.spawn(move || ask(address))));
            let asking: Vec<_> = asking.collect();
            let answers = asking.into_iter().map(|(key, address, thread)| {
                let told = thread.join().unwrap_or_else(|_| Err("it could not be asked".into()));
                upstream(key, address, told)
            });
            answers.collect::<Vec<_>>()
        }));
    }
    findings
}

/// Whom the encrypted ones are trusted to be; nobody if none is encrypted.
pub(super) fn tls(config: &Config) -> Result<Tls, String> {
    let forward = &config.forward;
    let cas = match &forward.ca_file {
        Some(file) => file.certificates.clone(),
        None if forward.named().any(|(_, upstream)| upstream.is_encrypted()) => system_cas()?,
        None => Vec::new(),
    };
    Tls::trusting(cas).map_err(|error| error.to_string())
}

/// Asks an encrypted upstream as the server does, certificate and all.
pub(super) fn ask_encrypted(address: &Address, tls: Tls, most: Duration) -> Result<Told, String> {
    let failed = |error: std::io::Error| format!("this system has no room to ask from: {error}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let means = Means { sockets: Sockets::new(0), tls };
    runtime.map_err(failed)?.block_on(async {
        let began = tokio::time::Instant::now();
        let upstream = Upstream::new(address.clone(), &means, began);
        let (question, budget) = (Question::new(&Name::ROOT, types::SOA), Budget::default());
        let asked = exchange::ask(&upstream, &question, &budget);
        let reply = tokio::time::timeout(most, asked).await.unwrap_or(Err(Failure::Silent));
        let (code, recursion) = match &reply {
            Ok(octets) => (rcode(octets), has_ra(octets)),
            Err(Failure::Rcode(code)) => (*code, false),
            Err(failure) => {
                return Err(upstream.trouble().reason().unwrap_or_else(|| failure.to_string()));
            }
        };
        Ok(Told {
            rcode: message::rcode(code.into()),
            authoritative: false,
            recursion,
            found: code == NOERROR,
            millis: began.elapsed().as_millis(),
        })
    })
}

fn upstream(key: &str, address: &Address, told: Result<Told, String>) -> Finding {
    let way_out = |what: &str| format!("{what}, or take it out of {key}");
    match told {
        Ok(told) if told.rcode == "NOERROR" && told.recursion => {
            Finding::well(ABOUT, format!("{address} in {key} answers in {} ms", told.millis))
        }
        // A server of its own zones alone is right where a rule sends it their names.
        Ok(told) if key == "forward.rules" => Finding::well(
            ABOUT,
            format!("{address} in {key} answers in {} ms, and not for all names", told.millis),
        ),
        Ok(told) if told.rcode == "NOERROR" => Finding::problem(
            ABOUT,
            format!("{address} in {key} answers, and asks nobody else (no RA)"),
            way_out("name a server that resolves all names"),
        ),
        Ok(told) => Finding::problem(
            ABOUT,
            format!(
                "{address} in {key} does not resolve names for this machine: it says {}",
                told.rcode
            ),
            way_out("have it let this machine ask"),
        ),
        Err(reason) => Finding::problem(
            ABOUT,
            format!("{address} in {key} does not answer: {reason}"),
            way_out("start it, see whether a firewall is between"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::testing::{config, told};
    use super::super::report::Standing::{Problem, Well};
    use super::*;

    #[test]
    fn every_upstream_is_asked_for_the_root() {
        let ask = |server: &Address| {
            let [.., last] = server.addr.to_string().split(':').next().unwrap().as_bytes()[..]
            else {
                return Err("no address".into());
            };
            match last {
                b'1' => told("NOERROR", false).map(|told| Told { recursion: true, ..told }),
                b'2' => told("NOERROR", true),
                b'3' => told("REFUSED", false),
                _ => Err("silence".into()),
            }
        };
        let config = config(
            "[forward]\nupstreams = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4:54']\n\
             rules = { a = ['10.0.0.3'], b = ['tls://10.0.0.5#dns.example'] }",
        );
        let found: Vec<_> =
            look(&config, &ask).into_iter().map(|found| (found.standing, found.text)).collect();
        let expected = [
            (Well, "10.0.0.1:53 in forward.upstreams answers in 3 ms"),
            (Problem, "10.0.0.2:53 in forward.upstreams answers, and asks nobody else (no RA)"),
            (
                Problem,
                "10.0.0.3:53 in forward.upstreams does not resolve names for this machine: it says REFUSED",
            ),
            (Problem, "10.0.0.4:54 in forward.upstreams does not answer: silence"),
            (Well, "10.0.0.3:53 in forward.rules answers in 3 ms, and not for all names"),
            (Problem, "tls://10.0.0.5:853#dns.example in forward.rules does not answer: silence"),
        ];
        let expected = expected.map(|(standing, text)| (standing, text.to_owned()));
        assert_eq!(found, expected);
    }
}
