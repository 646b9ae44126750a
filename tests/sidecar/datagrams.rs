//! The script over UDP: signed and unsigned lines, lost replies, forged ones, and a clock that is off.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use ring::hmac;
use rustix::process::Signal;

use super::process::{Kind, Sidecar, until};

const SECRET: [u8; 32] = *b"\x00\x36\x5c%\\ a secret of thirty-two \xff\n\r";
const SH: Kind = Kind::Script(&["sh"]);

/// What the fake door does with a good line: replies, the first of which answers it.
type Door = Box<dyn FnMut(&str) -> Vec<Said> + Send>;

/// A reply to a line.
enum Said {
    /// As the server would say it.
    Good(String),
    /// As somebody else would, who does not have the key.
    Forged(String),
}

/// A door that checks lines, records them without what makes each its own, and replies.
struct Lines {
    address: String,
    good: Arc<Mutex<Vec<String>>>,
    raw: Arc<Mutex<Vec<String>>>,
}

impl Lines {
    fn start(signed: bool, mut door: Door) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap().to_string();
        let (good, raw) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<Vec<_>>>::default());
        let lines = Self { address, good: good.clone(), raw: raw.clone() };
        let key = hmac::Key::new(hmac::HMAC_SHA256, &SECRET);
        std::thread::spawn(move || {
            let mut buffer = [0; 2000];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                let line = std::str::from_utf8(&buffer[..length]).unwrap().trim_end();
                raw.lock().unwrap().push(line.to_owned());
                let (text, mac) = match signed {
                    true => line.rsplit_once(" mac=").unwrap(),
                    false => (line, ""),
                };
                if signed {
                    hmac::verify(&key, text.as_bytes(), &unhex(mac)).unwrap();
                }
                let command = text.split(" key=").next().unwrap().to_owned();
                let replies = door(text);
                good.lock().unwrap().push(command);
                for reply in replies {
                    let reply = match reply {
                        Said::Good(text) if signed => {
                            let tag = hmac::sign(&key, format!("{mac}{text}").as_bytes());
                            format!("{text} mac={}", hex(tag.as_ref()))
                        }
                        Said::Good(text) => text,
                        Said::Forged(text) => format!("{text} mac={}", "0".repeat(64)),
                    };
                    socket.send_to(reply.as_bytes(), peer).unwrap();
                }
            }
        });
        lines
    }

    /// The different commands in the order of their first coming.
    fn story(&self) -> Vec<String> {
        let mut story = self.good.lock().unwrap().clone();
        story.dedup();
        story
    }

    fn wait_for(&self, command: &str, count: usize) {
        until(&format!("{count} times {command}"), || {
            self.good.lock().unwrap().iter().filter(|line| *line == command).count() >= count
        });
    }
}

fn ok() -> Vec<Said> {
    vec![Said::Good("RC1 OK expires_ms=1000".into())]
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len() / 2)
        .map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap())
        .collect()
}

fn start(
    kind: Kind,
    lines: &Lines,
    key: Option<&PathBuf>,
    options: &[&str],
    child: &str,
) -> Sidecar {
    let mut command = kind.command();
    command.extend(["--service", "web", "--port", "8080", "--lease", "1"].map(str::to_owned));
    command.extend(["--udp".into(), lines.address.clone(), "--address".into(), "10.0.0.5".into()]);
    if let Some(key) = key {
        command.extend(["--key".into(), key.to_str().unwrap().into()]);
    }
    command.extend(options.iter().chain(&["--", "sh", "-c", child]).map(|word| (*word).to_owned()));
    Sidecar::start(&command)
}

fn key() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("k1.key");
    std::fs::write(&file, hex(&SECRET) + "\n").unwrap();
    (directory, file)
}

const CHILD: &str = "trap 'exit 3' TERM; while :; do sleep 0.05; done";

fn field<'a>(line: &'a str, name: &str) -> &'a str {
    line.split(' ').find_map(|field| field.strip_prefix(name)).unwrap()
}

fn the_whole_life_in_signed_lines(kind: Kind) {
    let (_directory, key) = key();
    let lines = Lines::start(true, Box::new(|_| ok()));
    let options = [
        "--id",
        "w 1%",
        "--address",
        "fd00::5",
        "--tag",
        "blue",
        "--version",
        "2.1",
        "--weight",
        "2",
        "--named-port",
        "metrics=90",
        "--meta",
        "k=a b",
        "--drain-secs",
        "0",
    ];
    let mut sidecar = start(kind, &lines, Some(&key), &options, CHILD);
    let id = "%77%20%31%25";
    let register = format!(
        "RC1 REGISTER web {id} 10.0.0.5:8080 lease=1 state=up tag=blue port.metrics=90 \
         meta.k=%61%20%62 address=fd00::5 version=2.1 weight=2"
    );
    lines.wait_for(&format!("RC1 RENEW web {id}"), 2);
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.exit_code(), 3);
    let command = |verb: &str| format!("RC1 {verb} web {id}");
    assert_eq!(
        lines.story(),
        [register, command("RENEW"), command("DRAIN"), command("DEREGISTER")]
    );
    let raw = lines.raw.lock().unwrap().clone();
    let sequences: Vec<u64> = raw.iter().map(|line| field(line, "seq=").parse().unwrap()).collect();
    assert!(sequences.is_sorted_by(|a, b| a < b), "{sequences:?}");
    assert!(raw.iter().all(|line| field(line, "key=") == "k1"));
    assert!(raw.iter().all(|line| field(line, "boot=") == field(&raw[0], "boot=")));
}

#[test]
fn the_whole_life_in_signed_lines_under_sh() {
    the_whole_life_in_signed_lines(SH);
}

#[test]
fn the_whole_life_in_signed_lines_under_busybox() {
    let busybox = Kind::Script(&["busybox", "sh"]);
    if busybox.is_there() {
        the_whole_life_in_signed_lines(busybox);
    }
}

#[test]
fn unsigned_lines_need_no_key() {
    let lines = Lines::start(false, Box::new(|_| ok()));
    let options = ["--id", "w1", "--drain-secs", "0"];
    let mut sidecar = start(SH, &lines, None, &options, CHILD);
    lines.wait_for("RC1 RENEW web w1", 1);
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.exit_code(), 3);
    assert_eq!(lines.story().last().unwrap(), "RC1 DEREGISTER web w1");
}

#[test]
fn unknown_is_registered_again() {
    let (_directory, key) = key();
    let mut renewals = 0;
    let lines = Lines::start(
        true,
        Box::new(move |line| {
            renewals += usize::from(line.starts_with("RC1 RENEW"));
            if renewals == 2 && line.starts_with("RC1 RENEW") {
                return vec![Said::Good("RC1 UNKNOWN".into())];
            }
            ok()
        }),
    );
    let _sidecar = start(SH, &lines, Some(&key), &["--id", "w1"], CHILD);
    lines.wait_for("RC1 REGISTER web w1 10.0.0.5:8080 lease=1 state=up", 2);
}

/// No reply, then a forged one: the same datagram comes again until the server has answered it.
#[test]
fn the_same_line_comes_again_until_it_is_answered() {
    let (_directory, key) = key();
    let mut count = 0;
    let lines = Lines::start(
        true,
        Box::new(move |_| {
            count += 1;
            match count {
                1 => Vec::new(),
                2 => vec![Said::Forged("RC1 OK expires_ms=1000".into())],
                _ => ok(),
            }
        }),
    );
    let _sidecar = start(SH, &lines, Some(&key), &["--id", "w1"], CHILD);
    lines.wait_for("RC1 RENEW web w1", 1);
    let raw = lines.raw.lock().unwrap().clone();
    assert!(raw[0] == raw[1] && raw[1] == raw[2], "{raw:?}");
    assert!(raw[3].starts_with("RC1 RENEW"), "{raw:?}");
}

/// A host whose clock is off takes the server's time, from a reply that is the server's.
#[test]
fn the_servers_time_is_adopted() {
    const NOW: u64 = 4_000_000_000_000;
    let (_directory, key) = key();
    let lines = Lines::start(
        true,
        Box::new(|line| {
            let time: u64 = field(line, "time=").parse().unwrap();
            if time.abs_diff(NOW) > 60_000_000 {
                return vec![Said::Good(format!("RC1 BADTIME now={NOW}"))];
            }
            ok()
        }),
    );
    let _sidecar = start(SH, &lines, Some(&key), &["--id", "w1"], CHILD);
    lines.wait_for("RC1 RENEW web w1", 1);
}

/// The key is on no command line, where every user of the machine could read it.
#[test]
fn the_key_is_on_no_command_line() {
    let (directory, key) = key();
    // An openssl in front of the real one writes its arguments down.
    let openssl = directory.path().join("openssl");
    let log = directory.path().join("log");
    let script = format!(
        "#!/bin/sh\necho \"$*\" >>{}\nPATH=${{PATH#*:}} exec openssl \"$@\"\n",
        log.display()
    );
    std::fs::write(&openssl, script).unwrap();
    std::fs::set_permissions(&openssl, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let lines = Lines::start(true, Box::new(|_| ok()));
    let path = format!("PATH={}:{}", directory.path().display(), std::env::var("PATH").unwrap());
    let mut command = vec!["env".to_owned(), path];
    command.extend(SH.command());
    let options =
        ["--service", "web", "--port", "1", "--id", "w1", "--address", "10.0.0.5", "--udp"];
    command.extend(options.map(str::to_owned));
    command.extend([lines.address.clone(), "--key".into(), key.to_str().unwrap().into()]);
    command.extend(["--", "sleep", "600"].map(str::to_owned));
    let _sidecar = Sidecar::start(&command);
    until("a registration", || !lines.story().is_empty());
    let arguments = std::fs::read_to_string(log).unwrap();
    assert!(
        arguments.contains("dgst -sha256") && !arguments.contains(&hex(&SECRET)),
        "{arguments}"
    );
}
