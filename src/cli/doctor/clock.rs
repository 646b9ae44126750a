//! The clock: whether somebody keeps it right, and whether it is plainly wrong. Leases do not depend on it; signed
//! datagrams do, within 30 seconds, and so do logs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::machine::Machine;
use super::report::Finding;

const ABOUT: &str = "clock";
/// What systemd-timesyncd leaves behind when it has set the clock.
const TIMESYNC_MARK: &str = "/run/systemd/timesync/synchronized";
/// Services that keep the clock, by the file that each has while it runs.
const KEEPERS: [(&str, &str); 5] = [
    ("chrony", "/run/chrony/chronyd.pid"),
    ("chrony", "/run/chronyd.pid"),
    ("ntpd", "/run/ntpd.pid"),
    ("OpenNTPD", "/run/openntpd.pid"),
    ("ntpd-rs", "/run/ntpd-rs/observe"),
];
/// The hardware's clock, in seconds since 1970.
const HARDWARE: &str = "/sys/class/rtc/rtc0/since_epoch";
/// How far the two clocks may be apart: the hardware's is set now and then, and reads whole seconds.
const APART: Duration = Duration::from_secs(60);
/// 2025-01-01: no machine that runs this has an earlier time.
const EARLIEST: Duration = Duration::from_secs(1_735_689_600);

/// Looks at the clock.
pub(super) fn look(machine: &Machine) -> Vec<Finding> {
    look_at(machine, SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn look_at(machine: &Machine, now: Duration) -> Vec<Finding> {
    const SET: &str = "set it, and let systemd-timesyncd or chrony keep it";
    if now < EARLIEST {
        let text = "is years behind: signed datagrams are refused, and logs mislead";
        return vec![Finding::problem(ABOUT, text, SET)];
    }
    let mut findings = vec![kept(machine)];
    let hardware = machine.read(HARDWARE).and_then(|text| text.trim().parse().ok());
    let hardware =
        hardware.map(Duration::from_secs).filter(|hardware| now.abs_diff(*hardware) > APART);
    findings.extend(hardware.map(|hardware| {
        let secs = now.abs_diff(hardware).as_secs();
        let text = format!("the system's and the hardware's clock are {secs} s apart");
        Finding::note(
            ABOUT,
            text,
            "if the system's is right, `hwclock --systohc` sets the other one",
        )
    }));
    findings
}

fn kept(machine: &Machine) -> Finding {
    if machine.path(TIMESYNC_MARK).exists() {
        return Finding::well(ABOUT, "systemd-timesyncd has synchronised it");
    }
    let keeper = KEEPERS.iter().find(|(_, file)| machine.path(file).exists());
    if let Some((name, _)) = keeper {
        return Finding::well(ABOUT, format!("{name} keeps it"));
    }
    let keys = !machine.config.udp.key_files.is_empty();
    let why = if keys { ": signed datagrams are refused when it is 30 s off" } else { "" };
    Finding::note(
        ABOUT,
        format!("nobody is seen to keep it right{why}"),
        "run systemd-timesyncd or chrony, unless the machine's host keeps it (as in a container)",
    )
}

#[cfg(test)]
mod tests {
    use super::super::machine::testing::{config, machine, root};
    use super::super::report::Standing::{Note, Problem, Well};
    use super::*;

    const NOW: Duration = Duration::from_secs(2_000_000_000);

    #[test]
    fn somebody_keeps_it_or_not() {
        let (plain, keyed) = (config(""), config("udp.key_files = ['k1.key']"));
        for (file, config, standing, text) in [
            (
                "run/systemd/timesync/synchronized",
                &plain,
                Well,
                "systemd-timesyncd has synchronised it",
            ),
            ("run/chrony/chronyd.pid", &plain, Well, "chrony keeps it"),
            ("etc/none", &plain, Note, "nobody is seen to keep it right"),
            (
                "etc/none",
                &keyed,
                Note,
                "nobody is seen to keep it right: signed datagrams are refused when it is 30 s off",
            ),
        ] {
            let root = root(&[(file, "")]);
            let [found] = &*look_at(&machine(root.path(), config), NOW) else { panic!("{text}") };
            assert_eq!((found.standing, &*found.text), (standing, text));
        }
    }

    #[test]
    fn it_is_plainly_wrong() {
        let config = config("");
        let root = root(&[("sys/class/rtc/rtc0/since_epoch", "1999999000\n")]);
        let machine = machine(root.path(), &config);
        let found = look_at(&machine, NOW);
        assert_eq!(found[1].text, "the system's and the hardware's clock are 1000 s apart");
        assert_eq!(look_at(&machine, Duration::from_secs(1_999_999_060)).len(), 1);
        let found = look_at(&machine, Duration::from_secs(1000));
        assert_eq!((found.len(), found[0].standing), (1, Problem));
    }
}
