//! The rules of ARCHITECTURE.md that a machine can check: who imports whom, what the rooms without I/O leave
//! alone, where `unsafe` and foreign types stay, and how long a file may be.

#[path = "architecture/source.rs"]
mod source;

use source::Source;

/// The rooms from the ground up: a room imports only rooms of the floors before its own, so those of one floor
/// never import each other. `sync` and `nearest` are tools for everybody. `config` is a leaf: whoever does I/O may
/// read settings, the rooms without I/O are given values.
const FLOORS: [&[&str]; 13] = [
    &["sync", "nearest", "secret", "shared"],
    &["registry"],
    &["access"],
    &["view"],
    &["cache"],
    &["answer"],
    &["config", "audit", "history"],
    &["store", "net"],
    &["registrar"],
    &["telemetry"],
    &["dns", "api", "health"],
    &["server"],
    &["cli"],
];
/// The client side: it imports tools only, and only the command line imports it.
const CLIENT: &str = "sidecar";

/// Rooms that do no I/O, read no clock and log nothing.
const PURE: [&str; 5] = ["registry", "access", "view", "cache", "answer"];
/// What they leave alone, by the beginning of its path.
const IMPURE: [&str; 16] = [
    "std::env",
    "std::fs",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::process",
    "std::thread",
    "std::time::Instant::now",
    "std::time::SystemTime",
    "Instant::now",
    "SystemTime::now",
    "tokio",
    "tracing",
];

/// The one file with `unsafe` in it: the batch system calls.
const UNSAFE_FILE: &str = "net/batch.rs";
/// Lines of a file without its tests: what fits into a head in one sitting.
const MAX_LINES: usize = 500;

/// Fails with one line a violation.
#[track_caller]
fn holds(rule: &str, violations: &[String]) {
    assert!(violations.is_empty(), "{rule}:\n  {}", violations.join("\n  "));
}

/// What `judge` finds in every source file, with the file's name before it.
fn violations<I: IntoIterator<Item = String>>(judge: impl Fn(&Source) -> I) -> Vec<String> {
    let sources = source::read_all();
    assert!(sources.iter().any(|source| source.name == "lib.rs"), "no sources found");
    sources
        .iter()
        .flat_map(|source| {
            judge(source).into_iter().map(|wrong| format!("{}: {wrong}", source.name))
        })
        .collect()
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// What is wrong with `from` importing `to`.
fn import(from: &str, to: &str) -> Option<String> {
    let allowed = match (from, to) {
        _ if from == to => true,
        (CLIENT, to) => FLOORS[0].contains(&to),
        (from, CLIENT) => from == "cli",
        (from, to) => match (floor(from), floor(to)) {
            (Some(from), Some(to)) => to < from,
            (found, _) => {
                let unknown = if found.is_none() { from } else { to };
                return Some(format!("{unknown} is no room: give it a floor in {}", file!()));
            }
        },
    };
    (!allowed).then(|| format!("{from} must not import {to}"))
}

#[test]
fn imports_go_downwards_only() {
    let wrong = violations(|source| {
        let Some(room) = source.room() else { return Vec::new() };
        let mut wrong: Vec<_> =
            source.rooms_used().iter().filter_map(|used| import(room, used)).collect();
        wrong.sort();
        wrong.dedup();
        wrong
    });
    holds("a room imports only from the floors below it", &wrong);
}

#[test]
fn the_core_does_no_io_and_reads_no_clock() {
    let wrong = violations(|source| {
        let pure = source.room().is_some_and(|room| PURE.contains(&room));
        let impure = |path: &String| {
            IMPURE.iter().any(|start| {
                path.strip_prefix(start)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            })
        };
        source.paths().into_iter().filter(|path| pure && impure(path)).collect::<Vec<_>>()
    });
    holds("registry, access, view, cache and answer do no I/O, no clock, no log", &wrong);
}

#[test]
fn unsafe_code_is_in_one_file() {
    let wrong = violations(|source| {
        let has = source.name != UNSAFE_FILE && source.has_word("unsafe");
        has.then(|| "has `unsafe`".to_owned())
    });
    holds(&format!("`unsafe` is in {UNSAFE_FILE} only"), &wrong);
}

#[test]
fn hickory_stays_in_the_dns_room() {
    let wrong = violations(|source| {
        let hickory = |path: &String| path.starts_with("hickory");
        let inside = source.room() == Some("dns");
        source.paths().into_iter().filter(|path| !inside && hickory(path)).collect::<Vec<_>>()
    });
    holds("hickory's types stay in dns/ and in tests", &wrong);
}

#[test]
fn files_fit_into_a_head() {
    let wrong = violations(|source| {
        (source.lines > MAX_LINES).then(|| format!("{} lines without tests", source.lines))
    });
    holds(&format!("a file has at most {MAX_LINES} lines without its tests"), &wrong);
}

#[test]
fn nothing_is_left_to_do() {
    let wrong = violations(|source| {
        ["todo", "unimplemented"]
            .into_iter()
            .filter(|name| source.calls_macro(name))
            .map(|name| format!("has `{name}!`"))
            .collect::<Vec<_>>()
    });
    holds("no part is a stub", &wrong);
}

#[test]
fn the_floors_are_those_of_the_design() {
    let allowed = [
        ("view", "registry"),
        ("cache", "view"),
        ("answer", "cache"),
        ("registry", "sync"),
        ("net", "answer"),
        ("registrar", "store"),
        ("dns", "registrar"),
        ("api", "telemetry"),
        ("cli", "sidecar"),
        ("sidecar", "nearest"),
        ("api", "api"),
    ];
    for (from, to) in allowed {
        assert_eq!(import(from, to), None, "{from} imports {to}");
    }
    let forbidden = [
        ("view", "cache"),
        ("cache", "answer"),
        ("registry", "view"),
        ("view", "answer"),
        ("answer", "config"),
        ("store", "net"),
        ("net", "registrar"),
        ("dns", "api"),
        ("api", "dns"),
        ("api", "server"),
        ("config", "telemetry"),
        ("server", "cli"),
        ("server", "sidecar"),
        ("sidecar", "registry"),
        ("sidecar", "cli"),
        ("net", "cellar"),
        ("cellar", "net"),
    ];
    for (from, to) in forbidden {
        assert!(import(from, to).is_some(), "{from} imports {to}");
    }
}
