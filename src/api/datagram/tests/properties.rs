//! What holds for every datagram, made of words and fields out of a hat or of any octets at all.

use proptest::prelude::*;

use super::{Fixture, NOW, SILENCE, signed};

/// Lines that are nearly right: words and fields out of a hat.
fn lines() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "REGISTER",
        "RENEW",
        "DRAIN",
        "DEREGISTER",
        "FORGET",
        "OK",
        "",
        "x",
    ]);
    let field = prop::sample::select(vec![
        "web",
        "shop",
        "w",
        "i",
        "web-1",
        "10.0.0.5:8080",
        "[fd00::5]:80",
        "lease=30",
        "lease=none",
        "tag=a",
        "time=1",
        "boot=a",
        "boot=ffff",
        "seq=0",
        "seq=1",
        "seq=1",
        "version=1",
        "port.a=1",
        "meta.k=%20",
        "reason=%",
        "a",
        "=",
        "%zz",
        "key=k1",
        "weight=1",
        "state=up",
        "time=1700000000000",
        "time=1700000000001",
        "colour-of-the-instance=blue",
    ]);
    let text = prop::collection::vec(
        prop_oneof![5 => field.prop_map(String::from), 1 => "[ -~]{0,40}"],
        0..12,
    );
    (word, text).prop_map(|(word, text)| format!("RC1 {word} {} key=k1", text.join(" ")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_signed_reply_is_longer_than_its_request(
        lines in prop::collection::vec(lines(), 1..8),
        stamped in any::<bool>(),
    ) {
        let mut door = Fixture::with_keys(&["k1"]);
        for line in lines {
            let stamp = if stamped { format!(" time={NOW} boot=1 seq=1") } else { String::new() };
            let datagram = signed("k1", &format!("{line}{stamp}"));
            let told = door.told(&datagram);
            prop_assert!(told.len() <= datagram.len(), "{} to {}", told, datagram);
            prop_assert!(told.is_empty() || told.starts_with("RC1 "));
            prop_assert_eq!(door.told(&told), SILENCE);
        }
    }

    #[test]
    fn any_octets_may_come(
        octets in prop::collection::vec(any::<u8>(), 0..2048),
        line in lines(),
        cut in any::<prop::sample::Index>(),
    ) {
        for ids in [&[][..], &["k1"]] {
            let mut door = Fixture::with_keys(ids);
            let silent = door.told(&octets).is_empty();
            prop_assert!(silent || octets.starts_with(b"RC1 "));
            // A line that is cut, and one that goes on with anything, signed and not.
            for line in [line.clone(), signed("k1", &line)] {
                let cut = cut.index(line.len());
                door.told(&line.as_bytes()[..cut]);
                door.told([&line.as_bytes()[..cut], &octets].concat());
                let told = door.told(&line);
                prop_assert_eq!(door.told(&told), SILENCE, "a reply has no reply");
            }
        }
    }
}
