//! The certificates of the doors with TLS: whether they can be used, and for how long.

use crate::config::Config;
use crate::net::tls::Dates;

use super::report::Finding;

const RENEW: &str = "have it renewed, and reload the server (SIGHUP)";

/// Looks at the certificates of the doors that need one; `read` says for what each is, and what its dates are.
pub(super) fn look(
    config: &Config,
    read: impl FnOnce(&Config) -> Result<Vec<(&'static str, Dates)>, String>,
) -> Vec<Finding> {
    let finding = |(door, dates)| {
        let about = match door {
            "http" => "http certificate",
            _ => "certificate",
        };
        match dates {
            Dates::Hold(until) => Finding::well(about, until),
            Dates::EndsSoon(until) => Finding::note(about, until, RENEW),
            Dates::Off(why) => Finding::problem(about, format!("{why}: clients refuse it"), RENEW),
        }
    };
    match read(config) {
        Ok(dates) => dates.into_iter().map(finding).collect(),
        Err(wrong) => {
            let way_out = "put it right: the server does not start like this";
            vec![Finding::problem("certificate", wrong, way_out)]
        }
    }
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
        assert_eq!(found(Ok(Vec::new())), []);
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
            let found = found(dates.map(|dates| vec![("dns", dates)]));
            assert_eq!((found[0].standing, &*found[0].text), (standing, text));
        }
    }
}
