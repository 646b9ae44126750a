//! The client's subcommands: what they send, say and end with.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::fake::{Call, Fake};
use super::process::{ROLLCALL, clean};

const DONE: i32 = 0;
const FAILED: i32 = 1;
const USAGE: i32 = 2;
const NOT_LISTED: i32 = 3;
const UNREACHABLE: i32 = 4;
const DENIED: i32 = 5;

/// Exit code, standard output, standard error.
type Said = (i32, String, String);

fn rollcall(server: &str, arguments: &[&str]) -> Said {
    with_input(server, arguments, "")
}

fn with_input(server: &str, arguments: &[&str], input: &str) -> Said {
    let mut child = clean(Command::new(ROLLCALL).args(arguments))
        .env("ROLLCALL_SERVER", server)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input closes it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn done((code, out, errors): Said) -> String {
    assert_eq!((code, &*errors), (DONE, ""), "{out}");
    out
}

/// What is said on standard error by a command that ends like this; nothing is on standard output.
fn complaint(said: Said, wanted: i32) -> String {
    let (code, out, errors) = said;
    assert_eq!((code, &*out), (wanted, ""), "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    errors
}

fn bodies(server: &Fake) -> Vec<(String, Value)> {
    server.calls().into_iter().map(|call: Call| (call.short(), call.body)).collect()
}

#[test]
fn each_change_is_one_call() {
    let register = [
        "register",
        "web",
        "w/1",
        "--port",
        "80",
        "--address",
        "10.0.0.1",
        "--lease",
        "none",
        "--tag",
        "blue",
        "--version",
        "2",
        "--weight",
        "0",
        "--priority",
        "1",
        "--named-port",
        "m=90",
        "--meta",
        "k=v",
        "--state",
        "down",
        "--protocol",
        "udp",
    ];
    let body = json!({
        "addresses": ["10.0.0.1"], "port": 80, "protocol": "udp", "ports": {"m": 90}, "lease_secs": null,
        "tags": ["blue"], "version": "2", "weight": 0, "priority": 1, "meta": {"k": "v"}, "state": "down",
    });
    let instance = "/web/instances/w%2F1";
    let call =
        |method: &str, rest: &str, body: Value| vec![(format!("{method} {instance}{rest}"), body)];
    let cases: [(&[&str], _, _); 9] = [
        (
            &register,
            "is listed as w/1.web.svc.internal. until it is deregistered",
            call("PUT", "", body),
        ),
        (
            &["register", "web", "w/1", "--port", "80"],
            "for 30.0 s",
            call("PUT", "", json!({"port": 80})),
        ),
        (&["renew", "web", "w/1"], "is renewed: 30.0 s", call("PUT", "/lease", json!({}))),
        (
            &["drain", "web", "w/1", "--reason", "deploy 42"],
            "is draining",
            call("PUT", "/state", json!({"state": "draining", "reason": "deploy 42"})),
        ),
        (
            &["drain", "web", "w/1"],
            "is draining",
            call("PUT", "/state", json!({"state": "draining"})),
        ),
        (
            &["override", "web", "w/1", "up", "--reason", "x"],
            "--clear",
            call("PUT", "/override", json!({"state": "up", "reason": "x"})),
        ),
        (
            &["override", "web", "w/1", "--clear"],
            "no override",
            call("DELETE", "/override", Value::Null),
        ),
        (&["deregister", "web", "w/1"], "off the list", call("DELETE", "", Value::Null)),
        (
            &["deregister", "web", "--all"],
            "off the list",
            vec![("DELETE /web".into(), Value::Null)],
        ),
    ];
    for (arguments, words, calls) in cases {
        let server = Fake::start();
        if arguments[0] != "register" {
            done(rollcall(
                &server.url(),
                &["register", "web", "w/1", "--port", "1", "--lease", "30"],
            ));
        }
        let before = server.calls().len();
        let text = done(rollcall(&server.url(), arguments));
        assert!(text.contains(words), "{text}");
        assert_eq!(bodies(&server)[before..], calls, "{arguments:?}");

        let mut arguments = arguments.to_vec();
        if arguments[0] == "deregister" {
            done(rollcall(&server.url(), &["register", "web", "w/1", "--port", "1"]));
        }
        arguments.push("--json");
        let value: Value =
            serde_json::from_str(&done(rollcall(&server.url(), &arguments))).unwrap();
        assert!(value.is_object(), "{value}");
    }
}

/// Six instances of two services, on more than one page.
fn listing() -> Fake {
    let server = Fake::start();
    let run = |arguments: &[&str]| done(rollcall(&server.url(), arguments));
    for id in ["w1", "w2", "w3", "w4", "w5"] {
        run(&["register", "web", id, "--port", "80", "--lease", "90", "--address", "10.0.0.1"]);
    }
    run(&["register", "api", "a 1", "--port", "443", "--lease", "none", "--address", "fd00::1"]);
    run(&["drain", "web", "w2", "--reason", "deploy 42"]);
    run(&["override", "web", "w5", "down", "--reason", "disk"]);
    server
}

#[test]
fn a_list_is_a_table_with_lease_and_reason() {
    let server = listing();
    let text = done(rollcall(&server.url(), &["list"]));
    let expected = "\
SERVICE  ID   ADDRESS        STATE            LEASE       ANSWERING
api      a 1  [fd00::1]:443  up               no end      yes
web      w1   10.0.0.1:80    up               1 min 30 s  yes
web      w2   10.0.0.1:80    draining         1 min 30 s  no: draining: deploy 42
web      w3   10.0.0.1:80    up               1 min 30 s  yes
web      w4   10.0.0.1:80    up               1 min 30 s  yes
web      w5   10.0.0.1:80    down (override)  1 min 30 s  no: down: disk
";
    assert_eq!(text, expected);
    let text = done(rollcall(&server.url(), &["list", "--services"]));
    assert_eq!(
        text,
        "SERVICE  INSTANCES  ANSWERING\napi      1          1\nweb      5          5\n"
    );
    let text = done(rollcall(&server.url(), &["list", "web", "w2"]));
    for line in [
        "lease      1 min 30 s of 1 min 30 s\n",
        "state      draining: deploy 42\n",
        "health     unchecked\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn a_list_for_programs_is_json() {
    let server = listing();
    let read = |arguments: &[&str]| -> Value {
        serde_json::from_str(&done(rollcall(&server.url(), arguments))).unwrap()
    };
    let ids = |value: &Value| -> Vec<String> {
        let instances = value["instances"].as_array().unwrap().iter();
        instances.map(|instance| instance["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&read(&["list", "--json"])), ["a 1", "w1", "w2", "w3", "w4", "w5"]);
    assert_eq!(ids(&read(&["list", "api", "--json"])), ["a 1"]);
    let one = read(&["list", "web", "w2", "--json"]);
    // What the server says is passed on whole, also what this client does not know.
    assert_eq!(one, server.listed()[&("web".into(), "w2".into())]);
    let empty = Fake::start();
    let (code, out, errors) = rollcall(&empty.url(), &["list", "--json"]);
    assert_eq!((code, &*out, &*errors), (DONE, "{\"instances\":[]}\n", ""));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let server = listing();
    let script = format!("{ROLLCALL} --server {} list --json | true", server.url());
    let output = Command::new("bash").args(["-c", &format!("set -o pipefail; {script}")]).output();
    let output = output.unwrap();
    assert_eq!((output.status.code(), &*output.stderr), (Some(DONE), &b""[..]));
}

#[test]
fn export_and_import_make_the_same_registry() {
    let server = listing();
    let run = |arguments: &[&str]| done(rollcall(&server.url(), arguments));
    run(&[
        "register",
        "web",
        "é/1",
        "--port",
        "1",
        "--meta",
        "k=\"v\"",
        "--tag",
        "b",
        "--version",
        "2",
        "--weight",
        "0",
    ]);
    run(&["override", "web", "é/1", "up", "--reason", "x"]);
    run(&["register", "web", "d", "--port", "1", "--state", "down"]);
    let lines = run(&["export"]);
    assert_eq!(lines.lines().count(), 8);
    let other = listing();
    // What is listed there already takes on what the lines say, also what they do not have.
    done(rollcall(&other.url(), &["override", "web", "w1", "down"]));
    done(rollcall(&other.url(), &["drain", "web", "w3", "--reason", "gone after the import"]));
    let said = done(with_input(&other.url(), &["import"], &lines));
    assert_eq!(said, "8 imported, 2 of them new; 0 failed\n");
    assert_eq!(other.listed(), server.listed());

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &lines).unwrap();
    let empty = Fake::start();
    let said = rollcall(&empty.url(), &["import", file.path().to_str().unwrap(), "--json"]);
    let counts: Value = serde_json::from_str(&done(said)).unwrap();
    assert_eq!(counts, json!({ "imported": 8, "new": 8, "failed": 0 }));
    assert_eq!(empty.listed(), server.listed());
    assert_eq!(done(rollcall(&empty.url(), &["export"])), lines);
}

/// An instance under an override is never in the answers on its way in, if the override keeps it out.
#[test]
fn an_overridden_instance_is_imported_in_the_state_that_counts() {
    let server = Fake::start();
    let line = r#"{"service":"web","id":"a","port":1,"state":"up","override":{"state":"down","reason":"x"}}"#;
    done(with_input(&server.url(), &["import"], line));
    let calls = bodies(&server);
    assert_eq!(calls[0].1["state"], "down");
    assert_eq!(calls[1].1, json!({ "state": "down", "reason": "x" }));
    assert_eq!(calls[2], ("PUT /web/instances/a/state".into(), json!({ "state": "up" })));
}

#[test]
fn a_wrong_line_is_named_and_ends_the_import() {
    let server = Fake::start().hook(|call| {
        let refusal =
            json!({ "title": "Unprocessable", "detail": "must be lower case", "field": "service" });
        call.path.contains("/WEB/").then_some((422, refusal))
    });
    let line =
        |service: &str, id: &str| format!(r#"{{"service":"{service}","id":"{id}","port":1}}"#);
    let lines = [line("web", "a"), String::new(), r#"{"service":"web"}"#.into(), line("web", "b")];
    let (code, _, errors) = with_input(&server.url(), &["import"], &lines.join("\n"));
    assert_eq!(code, FAILED, "{errors}");
    assert!(
        errors.contains("line 3: missing field `id`") && errors.contains("--keep-going"),
        "{errors}"
    );
    assert!(!server.listed().contains_key(&("web".into(), "b".into())));

    let lines = [lines[0].clone(), line("WEB", "c"), lines[2].clone(), lines[3].clone()].join("\n");
    let (code, out, errors) =
        with_input(&server.url(), &["import", "--keep-going", "--json"], &lines);
    assert_eq!(code, FAILED, "{errors}");
    assert!(errors.contains("line 2: service: must be lower case"), "{errors}");
    assert!(errors.contains("line 3: missing field `id`"), "{errors}");
    let counts: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(counts, json!({ "imported": 2, "new": 1, "failed": 2 }));
}

#[test]
fn exit_codes_and_words_say_what_happened() {
    let server = Fake::start();
    let url = server.url();
    for arguments in [
        &["renew", "web", "a"][..],
        &["deregister", "web", "a"],
        &["deregister", "web", "--all"],
        &["drain", "web", "a"],
        &["override", "web", "a", "--clear"],
        &["list", "web"],
        &["list", "web", "a"],
        &["export", "web"],
    ] {
        let words = complaint(rollcall(&url, arguments), NOT_LISTED);
        assert!(words.contains("web") && words.contains("listed"), "{words}");
    }
    for (arguments, words) in [
        (&["regster"][..], "register"),
        (&["register", "web", "a"], "--port"),
        (&["register", "web", "a", "--port", "0"], "0"),
        (&["register", "web", "a", "--port", "1", "--lease", "0"], "none"),
        (&["register", "web", "", "--port", "1"], "id must not be empty"),
        (&["register", "web", "a", "--port", "1", "--meta", "k=1", "--meta", "k=2"], "twice"),
        (&["deregister", "web"], "ID"),
        (&["override", "web", "a"], "STATE"),
        (&["override", "web", "a", "up", "--clear"], "--clear"),
        (&["list", "--server", "ftp://a"], "http"),
        (&["list", "--server", "a,b"], "--server"),
        (&["list", "--token", "a b"], "token"),
        (&["list", "--token-file", "/nonexistent"], "/nonexistent"),
        (&["import", "/nonexistent"], "/nonexistent"),
        (&["run", "--service", "web", "--port", "1"], "COMMAND"),
        (&["run", "--service", "w", "--port", "1", "--check", "ftp://a", "--", "true"], "http"),
    ] {
        let said = complaint(rollcall(&url, arguments), USAGE);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

#[test]
fn a_server_that_is_not_there_or_not_ours_is_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let words = complaint(rollcall(&free.to_string(), &["list"]), UNREACHABLE);
    let wanted = format!(
        "rollcall: nothing listens on http://{free}: is `rollcall serve` running? set --server or ROLLCALL_SERVER\n"
    );
    assert_eq!(words, wanted);
    let words = complaint(rollcall("no-such-host.invalid", &["list"]), UNREACHABLE);
    assert!(words.contains("no-such-host.invalid"), "{words}");

    type Hook = fn(&Call) -> Option<(u16, Value)>;
    let answers: [(Hook, &[&str], i32, &str); 7] = [
        (|_| Some((401, json!({"detail": "no token"}))), &["list"], DENIED, "ROLLCALL_TOKEN"),
        (|_| Some((403, Value::Null)), &["list"], DENIED, "403"),
        (
            |_| Some((503, json!({"detail": "the disk is full"}))),
            &["renew", "a", "b"],
            FAILED,
            "the disk is full",
        ),
        (|_| Some((409, json!({"title": "Conflict"}))), &["renew", "a", "b"], FAILED, "Conflict"),
        (|_| Some((404, json!("a page"))), &["list"], FAILED, "not a Rollcall server"),
        (|_| Some((200, json!("hello"))), &["list"], FAILED, "not a Rollcall server"),
        (|_| Some((302, Value::Null)), &["list"], FAILED, "not a Rollcall server"),
    ];
    for (hook, arguments, code, words) in answers {
        let server = Fake::start().hook(hook);
        let said = complaint(rollcall(&server.url(), arguments), code);
        assert!(said.contains(words), "{said}");
    }
}

/// A list whose pages lead in a circle is not followed for ever.
#[test]
fn a_list_without_end_is_an_error() {
    let server = Fake::start().hook(|_| {
        let summary = json!({ "service": "web", "instances": 1, "answering": 1 });
        Some((200, json!({ "services": [summary], "next": "web" })))
    });
    let (code, _, errors) = rollcall(&server.url(), &["list", "--services"]);
    assert_eq!(code, FAILED);
    assert!(errors.contains("does not end"), "{errors}");
}

#[test]
fn the_token_comes_from_flag_file_or_environment() {
    let server = Fake::start();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "from-file\n").unwrap();
    let path = file.path().to_str().unwrap();
    done(rollcall(&server.url(), &["list", "--services", "--token", "from-flag"]));
    done(rollcall(&server.url(), &["list", "--services", "--token-file", path]));
    let mut command = Command::new(ROLLCALL);
    clean(&mut command).args(["--server", &server.url(), "list", "--services"]);
    assert!(command.env("ROLLCALL_TOKEN", "from-environment").output().unwrap().status.success());
    let tokens: Vec<_> = server.calls().into_iter().map(|call| call.token.unwrap()).collect();
    assert_eq!(tokens, ["Bearer from-flag", "Bearer from-file", "Bearer from-environment"]);
    let output = clean(Command::new(ROLLCALL).args(["list", "--help"]))
        .env("ROLLCALL_TOKEN", "secret")
        .output()
        .unwrap();
    assert!(!String::from_utf8(output.stdout).unwrap().contains("secret"));
}
