//! The examples of RFC 9018, appendix A, and what is good for how long.

use proptest::prelude::*;

use super::*;

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn secrets(hex: &str) -> Secrets {
    Secrets::new(Secrets::parse(hex).unwrap())
}

const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
const CLIENT: &str = "2464c4abcf10c957";
const ISSUED: u32 = 1_559_731_985;

#[track_caller]
fn check(secrets: &Secrets, ip: &str, cookie: &str, now: u32, is_valid: bool, reply: &str) {
    let shown = Shown::read(&octets(cookie)).unwrap();
    let judged = secrets.judge(&shown, ip.parse().unwrap(), now);
    let expected = Judged { is_valid, reply: octets(reply).try_into().unwrap() };
    assert_eq!(judged, expected, "{cookie} from {ip} at {now}");
}

/// Appendices A.1 to A.4, each with its moment. Those of A.2 and A.3 are older than an hour, or of another moment than
/// the one at which the appendix has them checked: they are also checked within their hour.
#[test]
fn the_examples_of_the_standard() {
    let ours = secrets(SECRET);
    let first = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
    check(&ours, "198.51.100.100", CLIENT, ISSUED, false, first);
    let renewed = "2464c4abcf10c957010000005cf7a871d4a564a1442aca77";
    check(&ours, "198.51.100.100", first, 1_559_734_385, true, renewed);
    let reserved = "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5";
    let fresh = "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e";
    check(&ours, "203.0.113.203", reserved, 1_559_734_700, false, fresh);
    check(&ours, "203.0.113.203", reserved, 1_559_727_985, true, reserved);
    let old = secrets("dd3bdf9344b678b185a6f5cb60fca715");
    let both = old.replaced(Secrets::parse("445536bcd2513298075a5d379663c962").unwrap());
    let six = "2001:db8:220:1:59de:d0f4:8769:82b8";
    let by_old = "22681ab97d52c298010000005cf7c57926556bd0934c72f8";
    let by_new = "22681ab97d52c298010000005cf7c609a6bb79d16625507a";
    check(&both, six, by_old, 1_559_741_961, true, by_new);
    check(&both, six, by_new, 1_559_741_961, true, by_new);
    check(&secrets("445536bcd2513298075a5d379663c962"), six, by_old, 1_559_741_961, false, by_new);
}

#[test]
fn a_cookie_is_good_for_an_hour_and_for_its_client() {
    let secrets = secrets(SECRET);
    let cookie = octets("2464c4abcf10c957010000005cf79f111f8130c3eee29480");
    let judge = |cookie: &[u8], ip: &str, now: u32| {
        secrets.judge(&Shown::read(cookie).unwrap(), ip.parse().unwrap(), now)
    };
    let ip = "198.51.100.100";
    for (secs, is_valid, is_kept) in [
        (-301, false, false),
        (-300, true, true),
        (0, true, true),
        (1800, true, true),
        (1801, true, false),
        (3600, true, false),
        (3601, false, false),
        (i32::MIN, false, false),
    ] {
        let judged = judge(&cookie, ip, ISSUED.wrapping_add_signed(secs));
        assert_eq!(
            (judged.is_valid, judged.reply[..] == cookie[..]),
            (is_valid, is_kept),
            "{secs} s"
        );
        let again = judge(&judged.reply, ip, ISSUED.wrapping_add_signed(secs));
        assert_eq!(
            (again.is_valid, again.reply),
            (true, judged.reply),
            "what is given out is good"
        );
    }
    assert!(judge(&cookie, "::ffff:198.51.100.100", ISSUED).is_valid);
    assert!(!judge(&cookie, "198.51.100.101", ISSUED).is_valid);
    for at in 0..cookie.len() {
        let mut other = cookie.clone();
        other[at] ^= 1;
        assert!(!judge(&other, ip, ISSUED).is_valid, "octet {at} counts");
    }
}

#[test]
fn a_secret_is_replaced_once() {
    let [one, two, three] = [[1; 16], [2; 16], [3; 16]];
    let secrets = Secrets::new(one).replaced(two);
    assert_eq!(secrets.replaced(two), secrets);
    let third = secrets.replaced(three);
    let (shown, ip) = (Shown::read(&[7; 8]).unwrap(), "192.0.2.1".parse().unwrap());
    for (secret, is_valid) in [(one, false), (two, true), (three, true)] {
        let given = Secrets::new(secret).judge(&shown, ip, ISSUED).reply;
        let judged = third.judge(&Shown::read(&given).unwrap(), ip, ISSUED);
        assert_eq!(judged.is_valid, is_valid);
        assert_eq!(judged.reply, Secrets::new(three).judge(&shown, ip, ISSUED).reply);
    }
    assert_eq!(format!("{secrets:?}"), "Secrets");
}

#[test]
fn secrets_are_hexadecimal() {
    assert_eq!(
        Secrets::parse("000102030405060708090A0b0c0d0e0f").unwrap(),
        *b"\0\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"
    );
    for wrong in [
        "",
        "00",
        &"0".repeat(31),
        &"0".repeat(33),
        &"g".repeat(32),
        &"+".repeat(32),
        &"é".repeat(16),
    ] {
        assert!(Secrets::parse(wrong).unwrap_err().contains("32 hexadecimal digits"), "{wrong}");
    }
}

proptest! {
    /// Lengths that cookies have are read, others are not, and nothing panics.
    #[test]
    fn any_option(data in proptest::collection::vec(any::<u8>(), 0..50), now: u32, ip: std::net::IpAddr) {
        let shown = Shown::read(&data);
        prop_assert_eq!(shown.is_some(), data.len() == 8 || (16..=40).contains(&data.len()));
        if let Some(shown) = shown {
            prop_assert_eq!(shown.has_server(), data.len() > 8);
            let judged = Secrets::new([9; 16]).judge(&shown, ip, now);
            prop_assert!(!judged.is_valid);
            prop_assert_eq!(&judged.reply[..8], &data[..8]);
        }
    }
}
