//! The certificate of the doors with TLS: whether it can be used, and for how long.

use crate::config::Config;
use crate::net::tls::Dates;

use super::report::Finding;

const ABOUT: &str = "certificate";
const RENEW: &str = "have it renewed, and reload the server (SIGHUP)";

/// Looks at the certificate, if a door needs one; `read` says what its dates are.
pub(super) fn look(
    config: &Config,
    read: impl FnOnce(&Config) -> Result<Option<Dates>, String>,
) -> Option<Finding> {
    Some(match read(config) {
        Ok(None) => return None,
        Ok(Some(Dates::Hold(until))) => Finding::well(ABOUT, until),
        Ok(Some(Dates::EndsSoon(until))) => Finding::note(ABOUT, until, RENEW),
        Ok(Some(Dates::Off(why))) => {
            Finding::problem(ABOUT, format!("{why}: clients refuse it"), RENEW)
        }
        Err(wrong) => {
            Finding::problem(ABOUT, wrong, "put it right: the server does not start like this")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::machine::testing::config;
    use super::super::report::Standing::{Note, Problem, Well};
    use super::*;

    #[test]
    fn it_holds_or_does_not() {
        let config = config("");
        let found = |dates| look(&config, |_| dates);
        assert_eq!(found(Ok(None)), None);
        for (dates, standing, text) in [
            (Ok(Dates::Hold("holds until 2030-01-01".into())), Well, "holds until 2030-01-01"),
            (Ok(Dates::EndsSoon("holds only until x".into())), Note, "holds only until x"),
            (
                Ok(Dates::Off("is over since x".into())),
                Problem,
                "is over since x: clients refuse it",
            ),
            (Err("no such file".into()), Problem, "no such file"),
        ] {
            let found = found(dates.map(Some)).unwrap();
            assert_eq!((found.standing, &*found.text), (standing, text));
        }
    }
}
