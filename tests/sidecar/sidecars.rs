//! `rollcall run` and the script: one set of tests for both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal};
use serde_json::json;

use super::fake::Fake;
use super::process::{Kind, Sidecar, children, pending_signals, until};

const INSTANCE: &str = "PUT /web/instances/w1";
const STATE: &str = "PUT /web/instances/w1/state";
const LEASE: &str = "PUT /web/instances/w1/lease";
const GONE: &str = "DELETE /web/instances/w1";
/// A child that lives until it is told to end, and then says so at the server `$0` and ends with 3. It says
/// its process id when it is ready.
const CHILD: &str = r#"
    say() { curl -s -o /dev/null "$0/said/$1"; }
    trap 'say term; exit 3' TERM
    trap 'say hup' HUP
    trap 'say usr1' USR1
    say $$
    while :; do sleep 0.05; done
"#;

macro_rules! tests {
    ($($test:ident),+ $(,)?) => {
        mod run {
            $(#[test] fn $test() { super::$test(super::Kind::Run); })+
        }
        mod script_sh {
            $(#[test] fn $test() { super::$test(super::Kind::Script(&["sh"])); })+
        }
        mod script_busybox {
            const SHELL: super::Kind = super::Kind::Script(&["busybox", "sh"]);
            $(#[test] fn $test() { if SHELL.is_there() { super::$test(SHELL) } })+
        }
        mod script_bash {
            const SHELL: super::Kind = super::Kind::Script(&["bash", "--posix"]);
            $(#[test] fn $test() { if SHELL.is_there() { super::$test(SHELL) } })+
        }
    };
}

tests!(
    is_listed_after_the_first_passing_check,
    renews_and_registers_again_when_it_is_lost,
    a_failing_check_declares_down_and_a_passing_one_up,
    drains_before_the_child_is_told_to_end,
    a_second_signal_ends_the_drain,
    ends_at_once_what_was_never_listed,
    a_child_that_dies_in_the_drain_is_deregistered_at_once,
    keeps_the_exit_code,
    passes_other_signals_on,
    a_dead_server_delays_nobody,
    a_server_that_comes_later_is_told,
    a_command_that_is_not_there_is_said_as_a_shell_does,
    a_refused_registration_does_not_hurt_the_child,
    works_as_process_1,
);

/// Starts a sidecar for web/w1 with these options and this child.
fn start(kind: Kind, options: &[&str], servers: &[&Fake], child: &[&str]) -> Sidecar {
    Sidecar::start(&command(kind, options, servers, child))
}

fn command(kind: Kind, options: &[&str], servers: &[&Fake], child: &[&str]) -> Vec<String> {
    let mut command = kind.command();
    command.extend(["--service", "web", "--port", "8080", "--id", "w1"].map(str::to_owned));
    for server in servers {
        command.extend(["--server".to_owned(), server.url()]);
    }
    command.extend(options.iter().chain(&["--"]).chain(child).map(|word| (*word).to_owned()));
    command
}

/// The child of most tests, talking to `server`.
fn child(server: &Fake) -> [String; 4] {
    ["sh".into(), "-c".into(), CHILD.into(), server.url()]
}

fn started(kind: Kind, options: &[&str], servers: &[&Fake]) -> (Sidecar, Pid) {
    let child = child(servers[0]);
    let sidecar = start(kind, options, servers, &child.each_ref().map(|word| &**word));
    (sidecar, child_pid(servers[0]))
}

/// The process id that the child says when it is ready.
fn child_pid(server: &Fake) -> Pid {
    let said = || {
        let calls = server.calls();
        calls.iter().find_map(|call| call.path.strip_prefix("/said/")?.parse().ok())
    };
    until("the child to be ready", || said().is_some());
    Pid::from_raw(said().unwrap()).unwrap()
}

/// A check's target, with a switch.
fn target() -> (Fake, Arc<AtomicBool>) {
    let passing = Arc::new(AtomicBool::new(false));
    let switch = passing.clone();
    let fake = Fake::start()
        .hook(move |_| Some((if passing.load(Ordering::SeqCst) { 204 } else { 503 }, json!({}))));
    (fake, switch)
}

fn is_listed_after_the_first_passing_check(kind: Kind) {
    let (server, (target, passing)) = (Fake::start(), target());
    let check = target.url() + "/health";
    let options = [
        "--check",
        &check,
        "--check-interval",
        "1",
        "--address",
        "10.0.0.1",
        "--address",
        "fd00::1",
        "--tag",
        "a \"b\"\\c",
        "--tag",
        "blue",
        "--version",
        "2.1",
        "--weight",
        "3",
        "--priority",
        "4",
        "--protocol",
        "udp",
        "--named-port",
        "metrics=90",
        "--meta",
        "k=v=w",
        "--lease",
        "9",
    ];
    let (_sidecar, _) = started(kind, &options, &[&server]);
    target.wait_for("GET /health", 2);
    assert_eq!(server.story().len(), 1, "only the child has spoken: {:?}", server.story());
    passing.store(true, Ordering::SeqCst);
    server.wait_for(INSTANCE, 1);
    let call = server.calls().into_iter().find(|call| call.short() == INSTANCE).unwrap();
    let body = json!({
        "port": 8080, "addresses": ["10.0.0.1", "fd00::1"], "tags": ["a \"b\"\\c", "blue"], "version": "2.1",
        "weight": 3, "priority": 4, "protocol": "udp", "ports": {"metrics": 90}, "meta": {"k": "v=w"},
        "lease_secs": 9, "state": "up",
    });
    assert_eq!(call.body, body);
}

fn renews_and_registers_again_when_it_is_lost(kind: Kind) {
    let server = Fake::start();
    let (_sidecar, _) = started(kind, &["--lease", "1"], &[&server]);
    server.wait_for(LEASE, 3);
    server.forget("web", "w1");
    server.wait_for(INSTANCE, 2);
    until("a renewal after the second registration", || {
        let calls: Vec<_> = server.calls().iter().map(|call| call.short()).collect();
        let again = calls.iter().rposition(|call| call == INSTANCE).unwrap();
        calls[again..].iter().any(|call| call == LEASE)
    });
    let told: Vec<_> = server.story().into_iter().filter(|call| !call.contains("/said/")).collect();
    assert_eq!(told, [INSTANCE, INSTANCE]);
}

fn a_failing_check_declares_down_and_a_passing_one_up(kind: Kind) {
    let (server, (target, passing)) = (Fake::start(), target());
    passing.store(true, Ordering::SeqCst);
    let check = target.url();
    let options = ["--check", &check, "--check-interval", "1", "--drain-secs", "0"];
    let (mut sidecar, _) = started(kind, &options, &[&server]);
    server.wait_for(INSTANCE, 1);
    passing.store(false, Ordering::SeqCst);
    server.wait_for(STATE, 1);
    passing.store(true, Ordering::SeqCst);
    server.wait_for(STATE, 2);
    let calls = server.calls().into_iter().filter(|call| call.short() == STATE);
    let states: Vec<_> = calls.map(|call| call.body).collect();
    assert_eq!(states[0], json!({ "state": "down", "reason": "check failed: status 503" }));
    assert_eq!(states[1]["state"], "up");
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.exit_code(), 3);
}

fn drains_before_the_child_is_told_to_end(kind: Kind) {
    let (server, other) = (Fake::start(), Fake::start());
    let options = ["--lease", "1", "--drain-secs", "2"];
    let (mut sidecar, pid) = started(kind, &options, &[&server, &other]);
    server.wait_for(INSTANCE, 1);
    other.wait_for(INSTANCE, 1);
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.exit_code(), 3);
    let story: Vec<_> = server.story().into_iter().filter(|call| *call != said(pid)).collect();
    assert_eq!(story, [INSTANCE, STATE, "GET /said/term", GONE]);
    assert_eq!(other.story(), [INSTANCE, STATE, GONE]);
    // It waited: the lease was renewed between the declaration and the child's signal.
    let calls: Vec<_> = server.calls().iter().map(|call| call.short()).collect();
    let at = |short: &str| calls.iter().position(|call| call == short).unwrap();
    assert!(calls[at(STATE)..at("GET /said/term")].iter().any(|call| call == LEASE), "{calls:?}");
    let state = server.calls().into_iter().find(|call| call.short() == STATE).unwrap();
    assert_eq!(state.body, json!({ "state": "draining", "reason": "being stopped" }));
    assert_eq!(server.listed().len() + other.listed().len(), 0);
}

fn said(pid: Pid) -> String {
    format!("GET /said/{}", pid.as_raw_nonzero())
}

fn a_second_signal_ends_the_drain(kind: Kind) {
    let server = Fake::start();
    let (mut sidecar, pid) = started(kind, &["--drain-secs", "600"], &[&server]);
    server.wait_for(INSTANCE, 1);
    sidecar.signal(Signal::TERM);
    server.wait_for(STATE, 1);
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.exit_code(), 3);
    let story: Vec<_> = server.story().into_iter().filter(|call| *call != said(pid)).collect();
    assert_eq!(story, [INSTANCE, STATE, "GET /said/term", GONE]);
}

/// A keeper of the script may have read what is wanted before it is poked for it.
#[test]
fn a_poke_without_news_breaks_nothing_off() {
    let (came, answer) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (hook_came, hook_answer) = (came.clone(), answer.clone());
    let server = Fake::start().hook(move |call| {
        if call.short() == INSTANCE {
            hook_came.store(true, Ordering::SeqCst);
            until("leave to answer", || hook_answer.load(Ordering::SeqCst));
        }
        None
    });
    let sidecar = start(Kind::Script(&["sh"]), &["--lease", "1"], &[&server], &["sleep", "600"]);
    until("the registration", || came.load(Ordering::SeqCst));
    let keeper = children(sidecar.pid()).into_iter().find(|&child| !children(child).is_empty());
    let keeper = keeper.expect("the keeper has a curl");
    rustix::process::kill_process(keeper, Signal::USR1).unwrap();
    until("the keeper to take the signal", || pending_signals(keeper) == 0);
    answer.store(true, Ordering::SeqCst);
    server.wait_for(LEASE, 1);
    assert_eq!(server.story(), [INSTANCE]);
}

fn ends_at_once_what_was_never_listed(kind: Kind) {
    let (server, (target, _)) = (Fake::start(), target());
    let check = target.url();
    let options = ["--drain-secs", "600", "--check", &check];
    let (mut sidecar, pid) = started(kind, &options, &[&server]);
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.exit_code(), 3);
    assert_eq!(server.story(), [said(pid), "GET /said/term".into()]);
}

fn a_child_that_dies_in_the_drain_is_deregistered_at_once(kind: Kind) {
    let server = Fake::start();
    let (mut sidecar, pid) = started(kind, &["--drain-secs", "600"], &[&server]);
    server.wait_for(INSTANCE, 1);
    sidecar.signal(Signal::TERM);
    server.wait_for(STATE, 1);
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    assert_eq!(sidecar.exit_code(), 128 + 9);
    assert_eq!(server.story().last().unwrap(), GONE);
}

fn keeps_the_exit_code(kind: Kind) {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137), ("exit 127", 127)]
    {
        let server = Fake::start();
        // The child ends when it is listed, by itself.
        let url = server.url() + "/api/v1/services/web/instances/w1";
        let script = format!("until curl -sf -o /dev/null {url}; do sleep 0.02; done; {script}");
        let mut sidecar = start(kind, &[], &[&server], &["sh", "-c", &script]);
        assert_eq!(sidecar.exit_code(), code, "{script}");
        let story = server.story();
        assert_eq!(story.last().unwrap(), GONE, "{script}");
        assert!(!story.contains(&STATE.to_owned()), "no drain: {story:?}");
    }
}

fn passes_other_signals_on(kind: Kind) {
    let server = Fake::start();
    let (mut sidecar, pid) = started(kind, &["--drain-secs", "0"], &[&server]);
    server.wait_for(INSTANCE, 1);
    sidecar.signal(Signal::HUP);
    server.wait_for("GET /said/hup", 1);
    sidecar.signal(Signal::USR1);
    server.wait_for("GET /said/usr1", 1);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(sidecar.exit_code(), 3);
    let ends: Vec<_> = server.story().into_iter().rev().take(2).collect();
    assert_eq!(ends, [GONE, "GET /said/term"], "the child's own end needs no drain");
}

/// Accepts connections and never replies.
fn silent_server() -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

fn a_dead_server_delays_nobody(kind: Kind) {
    let (_listener, silent) = silent_server();
    let server = Fake::start();
    let options = ["--server", &silent, "--lease", "1", "--drain-secs", "0"];
    let (mut sidecar, _) = started(kind, &options, &[&server]);
    server.wait_for(LEASE, 4);
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.exit_code(), 3);
    assert!(server.listed().is_empty());
}

fn a_server_that_comes_later_is_told(kind: Kind) {
    let (first, free) = (Fake::start(), silent_server().0.local_addr().unwrap());
    let later = format!("http://{free}");
    let (_sidecar, _) = started(kind, &["--server", &later, "--lease", "3"], &[&first]);
    first.wait_for(INSTANCE, 1);
    Fake::start_at(free).wait_for(INSTANCE, 1);
}

fn a_command_that_is_not_there_is_said_as_a_shell_does(kind: Kind) {
    let server = Fake::start();
    for (command, code) in
        [("/nonexistent/command", 127), ("no-such-command", 127), ("/etc/passwd", 126)]
    {
        assert_eq!(start(kind, &[], &[&server], &[command]).exit_code(), code, "{command}");
    }
    assert_eq!(server.calls(), []);
}

fn a_refused_registration_does_not_hurt_the_child(kind: Kind) {
    let server = Fake::start().hook(|call| {
        let problem =
            json!({ "title": "Conflict", "detail": "the label is taken", "field": "tags" });
        (call.method == "PUT").then_some((409, problem))
    });
    let (mut sidecar, pid) = started(kind, &["--lease", "1", "--drain-secs", "0"], &[&server]);
    server.wait_for(INSTANCE, 2);
    sidecar.signal(Signal::TERM);
    assert_eq!(sidecar.exit_code(), 3);
    let story = server.story();
    assert_eq!(story.iter().filter(|call| **call == said(pid)).count(), 1, "the same child");
    // A try that was under way at the end may have been taken, so a deregistration may follow it.
    let deregistered = story.iter().filter(|call| *call == GONE).count();
    assert!(deregistered <= 1 && server.listed().is_empty(), "{story:?}");
}

/// As process 1 of a PID namespace: it inherits an orphan and reaps it, takes signals and passes them on.
fn works_as_process_1(kind: Kind) {
    let unshare = ["unshare", "--pid", "--fork", "--mount-proc"];
    let can = std::process::Command::new(unshare[0]).args(&unshare[1..]).arg("true").output();
    if !can.is_ok_and(|output| output.status.success()) {
        eprintln!("no PID namespaces here: not tested");
        return;
    }
    let server = Fake::start();
    // The subshell ends at once; its sleep is an orphan then, and a zombie if nobody waits for it.
    let script = r#"
        (sh -c 'echo $$; exec sleep 0.1' >"$1" &)
        until [ -s "$1" ]; do sleep 0.01; done
        read -r orphan <"$1"
        while [ -e /proc/$orphan ]; do sleep 0.02; done
        curl -s -o /dev/null "$0/said/reaped"
        trap 'exit 5' TERM
        while :; do sleep 0.05; done
    "#;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("orphan");
    let child = ["sh", "-c", script, &server.url(), file.to_str().unwrap()];
    let mut line: Vec<_> = unshare.iter().map(|word| (*word).to_owned()).collect();
    line.extend(command(kind, &["--drain-secs", "0"], &[&server], &child));
    let mut sidecar = Sidecar::start(&line);
    server.wait_for("GET /said/reaped", 1);
    server.wait_for(INSTANCE, 1);
    rustix::process::kill_process(only_child(sidecar.pid()), Signal::TERM).unwrap();
    assert_eq!(sidecar.exit_code(), 5);
    assert_eq!(server.story().last().unwrap(), GONE);
}

/// The one child of `unshare`: process 1 of the namespace, by its number outside.
fn only_child(parent: Pid) -> Pid {
    let parent = parent.as_raw_nonzero();
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    Pid::from_raw(children.unwrap().trim().parse().unwrap()).unwrap()
}

/// Killed, it renews nothing any more: the lease ends by itself.
#[test]
fn a_killed_script_leaves_nobody_behind_that_renews() {
    let server = Fake::start();
    let (mut sidecar, pid) = started(Kind::Script(&["sh"]), &["--lease", "1"], &[&server]);
    server.wait_for(LEASE, 1);
    let keepers = || {
        let group = sidecar.pid().as_raw_nonzero().to_string();
        processes().into_iter().filter(|(_, g, name)| *g == group && name.contains("sh")).count()
    };
    until("the keeper", || keepers() > 1);
    sidecar.signal(Signal::KILL);
    sidecar.wait();
    let child = pid.as_raw_nonzero().to_string();
    until("the end of all but the child", || {
        let group = sidecar.pid().as_raw_nonzero().to_string();
        let left = processes().into_iter().filter(|(id, g, _)| *g == group && *id != child);
        left.filter(|(_, _, name)| name != "sleep" && name != "curl").count() == 0
    });
    assert!(!server.story().contains(&GONE.to_owned()));
}

/// All processes: id, process group, name.
fn processes() -> Vec<(String, String, String)> {
    let stat = |entry: std::fs::DirEntry| {
        let text = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let (id, rest) = text.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        Some((id.to_owned(), rest.split(' ').nth(2)?.to_owned(), name.to_owned()))
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(stat).collect()
}

/// A token that was replaced is taken up when the server denies the old one.
#[test]
fn a_new_token_is_read_when_the_old_one_is_denied() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "old\n").unwrap();
    let renewed = Arc::new(AtomicBool::new(false));
    let replaced = renewed.clone();
    let server = Fake::start().hook(move |call| {
        let wanted = if replaced.load(Ordering::SeqCst) { "Bearer new" } else { "Bearer old" };
        let ours = call.path.starts_with("/api/");
        (ours && call.token.as_deref() != Some(wanted)).then(|| (401, json!({ "detail": "no" })))
    });
    let options = ["--lease", "1", "--token-file", file.to_str().unwrap()];
    let (_sidecar, _) = started(Kind::Run, &options, &[&server]);
    server.wait_for(LEASE, 1);
    std::fs::write(&file, "new\n").unwrap();
    renewed.store(true, Ordering::SeqCst);
    until("a call with the new token", || {
        server.calls().iter().any(|call| call.token.as_deref() == Some("Bearer new"))
    });
}
