//! Names: which service an app or a vip address is.

use std::fmt::Write as _;

use ring::digest;

use crate::registry::{Invalid, MAX_SERVICE_OCTETS, ServiceName, tag_label};

/// Octets of an app or a vip address at most; longer ones are no names that anybody asks for.
pub(super) const MAX_APP_OCTETS: usize = 255;
/// Services beside its app's that an instance may be in by its vip addresses: each is an instance more.
pub(super) const MAX_VIPS: usize = 8;

/// The service that an app or a vip address is: in lower case, what does not fit into a label as `-`, and without a port.
/// `API.prod:7001` is `api-prod`. A name of which nothing is left, or which is too long or reserved, is known by its hash.
pub(super) fn service(field: &str, name: &str) -> Result<ServiceName, Invalid> {
    let host = match name.split_once(':') {
        Some((host, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => host,
        _ => name,
    };
    if host.trim().is_empty() || name.len() > MAX_APP_OCTETS {
        let reason = format!("must be a name of at most {MAX_APP_OCTETS} octets");
        return Err(Invalid::new(field, reason));
    }
    let lower = host.trim().to_ascii_lowercase();
    let label = tag_label(&lower).filter(|label| label.len() <= MAX_SERVICE_OCTETS);
    match label.map(|label| ServiceName::parse(&label)) {
        Some(Ok(service)) => Ok(service),
        _ => ServiceName::parse(&hashed(&lower)),
    }
}

/// Names that are one service, and the same one whoever asks.
fn hashed(name: &str) -> String {
    let hash = digest::digest(&digest::SHA256, name.as_bytes());
    let mut label = String::from("app-");
    for octet in &hash.as_ref()[..8] {
        let _ = write!(label, "{octet:02x}");
    }
    label
}

/// Whether two texts are one app: Eureka has them in upper case.
pub(super) fn is_same_app(one: &str, other: &str) -> bool {
    one == other || one.to_uppercase() == other.to_uppercase()
}

/// The vip addresses of a list with commas.
pub(super) fn vips(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|vip| !vip.is_empty())
}

/// Whether a list has a vip address; case does not matter.
pub(super) fn has_vip(list: &str, vip: &str) -> bool {
    vips(list).any(|one| one.eq_ignore_ascii_case(vip.trim()))
}

/// An app as Eureka shows it.
pub(super) fn app_of(service: &str) -> String {
    service.to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_a_service() {
        for (name, expected) in [
            ("PY-SVC", "py-svc"),
            ("My_App", "my-app"),
            ("api.prod.example:7001", "api-prod-example"),
            (" web ", "web"),
        ] {
            assert_eq!(service("app", name).unwrap().as_str(), expected);
        }
        let long = "x".repeat(100);
        for name in ["localhost", "???", &long] {
            let hash = service("app", name).unwrap();
            assert!(hash.as_str().starts_with("app-") && hash.as_str().len() == 20, "{hash}");
            assert_eq!(service("app", &name.to_uppercase()).unwrap(), hash);
        }
        for name in ["", "  ", ":80", &"x".repeat(256)] {
            assert_eq!(service("app", name).unwrap_err().field, "app");
        }
    }

    #[test]
    fn vip_addresses_are_a_list() {
        assert_eq!(vips("a, b,,c ").collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(has_vip("a,Web:80", "web:80") && !has_vip("a,web", "we"));
    }
}
