//! Which doors may be where, and what goes before the file.

use super::*;

#[test]
fn doors_leave_loopback_with_a_secret_or_on_demand() {
    for text in [
        "[http]\nlisten = ['0.0.0.0:80']\ntoken_file = 't'\ninsecure_no_tls = true",
        "[http]\ntls_listen = ['0.0.0.0:443']\ntoken_file = 't'\ntls_cert_file = 'c'\ntls_key_file = 'k'",
        "[http]\nlisten = ['0.0.0.0:80']\ninsecure_no_token = true",
        "[udp]\nlisten = ['0.0.0.0:80']\nkey_files = ['k']",
        "[udp]\nlisten = ['0.0.0.0:80']\ninsecure_unsigned = true",
        "[dns]\nlisten = ['0.0.0.0:53']",
    ] {
        let config = load(text).unwrap();
        assert!(config.check_guarded(None, |_| false).is_ok(), "{text}");
    }
    for (text, told) in [
        (
            "[http]\nlisten = ['0.0.0.0:80']\ntoken_file = 't'",
            "config.toml line 2: http.listen: 0.0.0.0:80 is not on loopback, and tokens would cross",
        ),
        (
            "[http]\ntls_listen = ['127.0.0.1:443']",
            "config.toml line 2: http.tls_listen needs http.tls",
        ),
        ("[http]\nlisten = []\nunix_socket = ''", "config.toml line 3: http.unix_socket is empty"),
        (
            "[access.principals.config]\nverbs = ['read']\nservices = ['*']",
            "config.toml line 1: [access.principals] `config` is what the server",
        ),
        (
            "[access.principals.a]\nverbs = ['read']\nservices = ['web*']",
            "config.toml line 3: access.principals.a.services: `web*` is no pattern",
        ),
        (
            "[access.principals.a]\nverbs = ['read']\nservices = ['web']\ncertificates = ['web.example']",
            "config.toml line 4: access.principals.a.certificates: `web.example` is no name in a certificate",
        ),
        (
            "[access.principals.a]\nverbs = ['read']\nservices = ['web']\nusers = [7]\n\
             [access.principals.b]\nverbs = ['read']\nservices = ['web']\nusers = [7]\n[http]\nunix_socket = 's'",
            "config.toml line 5: [access.principals.b] has the user 7 of a: one of them must go",
        ),
        (
            "[access.principals.a]\nverbs = ['read']\nservices = ['web']\nusers = [7]",
            "config.toml: [access.principals.a] has users of this machine, who come through http.unix_socket",
        ),
        (
            "[access.principals.a]\nverbs = ['read']\nservices = ['web']\ncertificates = ['dns:a']",
            "config.toml: [access.principals.a] has certificates, and clients are asked for none",
        ),
    ] {
        let found = load(text).unwrap_err();
        assert!(found.starts_with(told), "{found}");
    }
}

/// Whether anybody is known may be for the store to say.
#[test]
fn a_door_beyond_loopback_is_left_to_the_store() {
    for (text, door, told) in [
        (
            "[http]\nlisten = ['127.0.0.1:1', '10.0.0.1:2']\ninsecure_no_tls = true",
            Door::Http,
            "f line 2: http.listen: 10.0.0.1:2 is not on loopback, so whoever reaches it could register and \
             deregister: make a token with `rollcall token create`, set http.token_file",
        ),
        (
            "[udp]\nlisten = ['10.0.0.1:2']",
            Door::Udp,
            "f line 2: udp.listen: 10.0.0.1:2 is not on loopback, so whoever reaches it could register and \
             deregister: make a key with `rollcall key create`, set udp.key_files",
        ),
    ] {
        let config = load(text).unwrap();
        let found = config.check_guarded(Some(Path::new("f")), |_| false).unwrap_err().to_string();
        assert!(found.starts_with(told), "{found}");
        assert!(config.check_guarded(None, |guarded| guarded == door).is_ok());
        assert!(config.check_guarded(None, |guarded| guarded != door).is_err());
    }
}

#[test]
fn flags_go_before_the_file() {
    let flags = Overrides {
        dns: addresses(&["127.0.0.1:1", "[::1]:1"]),
        http: addresses(&["127.0.0.1:2"]),
        udp: addresses(&["127.0.0.1:3"]),
        data_dir: Some("here".into()),
        passed: Listening::default(),
    };
    let text = "dns.listen = ['127.0.0.1:9']\nstore.data_dir = 'there'\nudp.listen = ['0.0.0.0:9']";
    let config = load_with(text, &flags).unwrap();
    assert_eq!(config.dns.listen, flags.dns);
    assert_eq!(config.http.listen, flags.http);
    assert_eq!(config.udp.listen, flags.udp);
    assert_eq!(config.store.data_dir, Path::new("here"));

    let flags = Overrides { http: addresses(&["10.0.0.1:2"]), ..Overrides::default() };
    let told = load_with("", &flags).unwrap_err();
    assert!(told.starts_with("--http: http.listen: 10.0.0.1:2 is not on loopback"), "{told}");
}

#[test]
fn sockets_that_were_passed_go_before_flags_and_file() {
    let passed = Listening {
        dns: addresses(&["10.0.0.1:53"]),
        udp: addresses(&["127.0.0.1:4"]),
        quic: addresses(&["10.0.0.1:853"]),
        ..Listening::default()
    };
    let flags = Overrides { dns: addresses(&["127.0.0.1:1"]), passed, ..Overrides::default() };
    let text = "dns.listen = []\ndns.tls_cert_file = 'c'\ndns.tls_key_file = 'k'\nudp.listen = []";
    let config = load_with(text, &flags).unwrap();
    assert_eq!(config.dns.listen, flags.passed.dns);
    assert_eq!(config.udp.listen, flags.passed.udp);
    assert_eq!(config.dns.quic_listen, flags.passed.quic);
    assert_eq!(config.http.listen, defaults().http.listen);
    assert_eq!(config.reload_from(&config).1, [""; 0], "a reload finds the same");

    // What they open is no more open for having come from elsewhere.
    let told = load_with("", &flags).unwrap_err();
    let lines: Vec<_> = told.lines().collect();
    let needs = "a socket that was passed: dns.quic_listen needs dns.tls_cert_file";
    assert!(lines[0].starts_with(needs), "{told}");
    let passed = Listening { http: addresses(&["10.0.0.1:2"]), ..Listening::default() };
    let told = load_with("", &Overrides { passed, ..Overrides::default() }).unwrap_err();
    let closed = "a socket that was passed: http.listen: 10.0.0.1:2 is not on loopback";
    assert!(told.starts_with(closed), "{told}");
}

#[test]
fn the_eureka_door_is_guarded_as_http_is() {
    let config = load("eureka.listen = ['0.0.0.0:8761']\nhttp.insecure_no_tls = true").unwrap();
    let found = config.check_guarded(None, |_| false).unwrap_err().to_string();
    assert!(found.contains("eureka.listen: 0.0.0.0:8761 is not on loopback"), "{found}");
    let error = load("eureka.listen = ['0.0.0.0:8761']").unwrap_err();
    assert!(error.contains("eureka.listen: 0.0.0.0:8761") && error.contains("in the clear"));
    let error = load("eureka.listen = ['127.0.0.1:8053']").unwrap_err();
    assert!(error.contains("in eureka.listen and in http.listen"), "{error}");
    let error = load("[eureka]\non_http = false\nlisten = []").unwrap_err();
    assert!(error.contains("line 2: eureka.on_http is false"), "{error}");
}

#[test]
fn regions_and_zones_are_names_and_have_servers() {
    for (text, says) in [
        ("a = []", "line 2: eureka.regions.r.a must name 1 to 64 servers"),
        ("", "line 1: eureka.regions.r must have 1 to 32 zones"),
        ("A = ['h']", "line 2: eureka.regions.r: `A` `A` must be lower case"),
        ("a = ['h h']", "line 2: eureka.regions.r.a: `h h` is no server"),
        ("a = ['h', 'h']", "`h` is there twice"),
        ("r = ['h']", "`r` is a region and a zone"),
        ("a = ['h']\n[eureka.regions.s]\na = ['h']", "the zone is in another region too"),
    ] {
        let error = load(&format!("[eureka.regions.r]\n{text}")).unwrap_err();
        assert!(error.contains(says), "{text}: {error}");
    }
}
