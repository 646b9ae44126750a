//! Upstreams: whether each that is configured answers for the root, which whoever resolves names can.

use std::net::SocketAddr;
use std::thread;

use super::machine::Told;
use super::report::Finding;
use crate::config::{Config, resolv_conf};

const ABOUT: &str = "forward";
/// Upstreams that are asked at one time: a dead one is waited for.
const AT_ONCE: usize = 16;
/// Upstreams that are asked.
const MOST: usize = 256;

/// Asks every upstream for the SOA record of the root.
pub(super) fn look(
    config: &Config,
    ask: &(dyn Fn(SocketAddr, &str) -> Result<Told, String> + Sync),
) -> Vec<Finding> {
    let forward = &config.forward;
    let mut findings = Vec::new();
    let mut upstreams: Vec<_> = forward.named().map(|(key, up)| (key, up.address)).collect();
    if let Some(path) = &forward.resolv_conf {
        match resolv_conf::read(path, &config.dns.listen) {
            Ok(read) if read.nameservers.is_empty() => findings.push(Finding::problem(
                ABOUT,
                format!("{} names no server but this one", path.display()),
                "add a line `nameserver ADDRESS`, or name another file in forward.resolv_conf",
            )),
            Ok(read) => {
                upstreams.extend(read.nameservers.iter().map(|up| ("forward.resolv_conf", *up)));
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
                .map(|(key, address)| (*key, *address, scope.spawn(move || ask(*address, "."))));
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

fn upstream(key: &str, address: SocketAddr, told: Result<Told, String>) -> Finding {
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
        let ask = |server: SocketAddr, name: &str| {
            assert_eq!(name, ".");
            let [.., last] = server.to_string().split(':').next().unwrap().as_bytes()[..] else {
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
             rules = { a = ['10.0.0.3'], b = ['10.0.0.5'] }",
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
            (Problem, "10.0.0.5:53 in forward.rules does not answer: silence"),
        ];
        let expected = expected.map(|(standing, text)| (standing, text.to_owned()));
        assert_eq!(found, expected);
    }
}
