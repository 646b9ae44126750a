//! What hickory-proto can build, and what nobody would: it comes out as it went in, or not at all, and never with a
//! panic.

use hickory_proto::rr::rdata::{AAAA, NAPTR, PTR};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

/// Names that share suffixes with each other and the question, or with nothing.
const NAMES: [&str; 10] = [
    "www.example.",
    "web.example.",
    "alias.example.",
    "a.b.c.d.web.example.",
    "cdn.example.net.",
    "Some.Printer._http._tcp.example.",
    "x.cdn.Example.net.",
    "org.",
    ".",
    r"odd\.label\000.example.org.",
];
const TYPES: [u16; 11] = [1, 2, 6, 12, 15, 16, 28, 33, 35, 99, 65280];
const ASKED: &str = "www.alias.example.";

fn any_name() -> impl Strategy<Value = HickoryName> {
    select(&NAMES[..]).prop_map(hickory_name)
}

/// Data of a type.
fn data(rtype: u16) -> BoxedStrategy<RData> {
    let unknown = move |octets: Vec<u8>| RData::Unknown {
        code: RecordType::from(rtype),
        rdata: NULL::with(octets),
    };
    match rtype {
        1 => any::<[u8; 4]>().prop_map(|octets| RData::A(A(octets.into()))).boxed(),
        2 => any_name().prop_map(|name| RData::NS(NS(name))).boxed(),
        6 => (any_name(), any_name(), any::<u32>())
            .prop_map(|(one, two, n)| RData::SOA(SOA::new(one, two, n, 1, 2, 3, n)))
            .boxed(),
        12 => any_name().prop_map(|name| RData::PTR(PTR(name))).boxed(),
        15 => (any::<u16>(), any_name()).prop_map(|(n, name)| RData::MX(MX::new(n, name))).boxed(),
        16 => "[a-z]{1,200}".prop_map(|text| RData::TXT(TXT::new(vec![text]))).boxed(),
        28 => any::<[u8; 16]>().prop_map(|octets| RData::AAAA(AAAA(octets.into()))).boxed(),
        33 => (any::<u16>(), any_name())
            .prop_map(|(n, name)| RData::SRV(SRV::new(n, 1, n, name)))
            .boxed(),
        35 => (any::<u16>(), "[a-z]{0,9}", any_name())
            .prop_map(|(n, text, name)| {
                let text: Box<[u8]> = text.into_bytes().into();
                RData::NAPTR(NAPTR::new(n, n, Box::from(*b"s"), text.clone(), text, name))
            })
            .boxed(),
        _ => prop::collection::vec(any::<u8>(), 1..60).prop_map(unknown).boxed(),
    }
}

#[derive(Debug, Clone)]
struct Case {
    rtype: u16,
    links: Vec<HickoryRecord>,
    set: Vec<HickoryRecord>,
    noise: Vec<HickoryRecord>,
    rotation: Index,
    upper: u64,
    size: Option<u16>,
}

fn case() -> impl Strategy<Value = Case> {
    let rtype = select(&TYPES[..]);
    let set = rtype.prop_flat_map(|rtype| (Just(rtype), prop::collection::vec(data(rtype), 1..40)));
    let noise = prop::collection::vec((any_name(), data(1)), 0..5);
    let other = (any::<Index>(), any::<u64>(), prop::option::of(0..2000_u16), 1..3600_u32);
    (set, 0..=6_usize, noise, other).prop_map(
        |((rtype, set), links, noise, (rotation, upper, size, secs))| {
            let name = |n: usize| match n {
                0 => hickory_name("wwW.Alias.example."),
                n => hickory_name(&format!("link-{n}.alias.example{}.", n % 3)),
            };
            let link = |n| {
                let target = RData::CNAME(CNAME(name(n + 1)));
                HickoryRecord::from_rdata(name(n), 100 + u32::try_from(n).unwrap(), target)
            };
            let set = set.into_iter();
            let noise = noise.into_iter();
            Case {
                rtype,
                links: (0..links).map(link).collect(),
                set: set.map(|data| HickoryRecord::from_rdata(name(links), secs, data)).collect(),
                noise: noise.map(|(name, data)| HickoryRecord::from_rdata(name, 9, data)).collect(),
                rotation,
                upper,
                size,
            }
        },
    )
}

/// The message that upstream sends, and the records that clients are to get.
fn built(case: &Case) -> (Message, Vec<HickoryRecord>) {
    let mut message = Message::response(1, OpCode::Query);
    message.add_query(Query::query(hickory_name("wwW.Alias.example."), case.rtype.into()));
    let mut answers: Vec<_> = case.links.iter().chain(&case.set).chain(&case.noise).collect();
    let middle = case.rotation.index(answers.len());
    answers.rotate_left(middle);
    let mut expected = case.links.clone();
    for record in answers {
        message.add_answer(record.clone());
        let of_set = case.set.iter().any(|of_set| same(of_set, record));
        if of_set && !expected.iter().any(|known| same(known, record)) {
            expected.push(record.clone());
        }
    }
    for record in &case.noise {
        message.add_authority(record.clone());
        message.add_additional(record.clone());
    }
    (message, expected)
}

/// Owners and data are the same, in whatever case the names are.
fn same(one: &HickoryRecord, other: &HickoryRecord) -> bool {
    one.name == other.name && one.data == other.data
}

/// The question's name in the case that the bits say.
fn in_case(upper: u64) -> Vec<u8> {
    let mut name = wire::parse(ASKED, b"\0").unwrap().to_vec();
    for (n, octet) in name.iter_mut().enumerate() {
        if upper >> (n % 64) & 1 == 1 {
            octet.make_ascii_uppercase();
        }
    }
    name
}

fn comes_back(case: &Case) {
    let (message, expected) = built(case);
    let name = own_name(ASKED);
    let rtype = case.rtype;
    let asked = Question { name: &name, rtype, dnssec_ok: false, checking_disabled: false };
    let entry = accept(&message.to_vec().unwrap(), asked, &Open, NOW).unwrap();
    let cache = Cache::new(1 << 24);
    cache.answered(asked, entry, NOW);
    let reader = cache.read();
    let Lookup::Fresh(entry) = reader.look_up(asked, NOW) else { panic!("not in the cache") };

    let question = in_case(case.upper);
    let query = query(&question, rtype, case.size.map(|size| (size, false)));
    let limit = usize::from(case.size.unwrap_or(512).clamp(512, 1232));
    for transport in [Transport::Tcp, Transport::Udp] {
        let octets = encoded(entry, &query, transport, NOW);
        assert_eq!(&octets[12..12 + question.len()], question);
        let reply = Message::from_vec(&octets).unwrap();
        assert_eq!(reply.edns.is_some(), case.size.is_some());
        assert!(reply.authorities.is_empty() && reply.additionals.is_empty());
        let got = reply.answers;
        let whole = got.len() == expected.len();
        assert_eq!(reply.metadata.truncation, !whole);
        assert!(whole || transport == Transport::Udp);
        assert!(transport == Transport::Tcp || octets.len() <= limit);
        for (got, expected) in got.iter().zip(&expected) {
            assert!(same(got, expected), "{got} is not {expected}");
            assert_eq!(got.ttl, expected.ttl);
        }
    }
    let later = NOW.plus(u64::from(entry.head().life_secs) * 1000 - 1);
    let last = Message::from_vec(&encoded(entry, &query, Transport::Tcp, later)).unwrap();
    assert_eq!(last.answers.iter().map(|record| record.ttl).min(), Some(1));
}

/// A good reply with some octets changed, cut off, or with more behind it.
fn mutated() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let changes = prop::collection::vec((any::<Index>(), any::<u8>()), 0..6);
    let cut = prop::option::weighted(0.2, any::<Index>());
    let tail = prop::collection::vec(any::<u8>(), 0..20);
    (case(), changes, cut, tail).prop_map(|(case, changes, cut, tail)| {
        let mut octets = built(&case).0.to_vec().unwrap();
        for (place, octet) in changes {
            let place = place.index(octets.len());
            octets[place] = octet;
        }
        if let Some(cut) = cut {
            octets.truncate(cut.index(octets.len()));
            octets.extend(tail);
        }
        (case.rtype, octets)
    })
}

/// Nothing panics, and what is accepted can be sent.
fn survives(octets: &[u8], rtype: u16) {
    let name = own_name(ASKED);
    for dnssec_ok in [false, true] {
        let asked = Question { name: &name, rtype, dnssec_ok, checking_disabled: false };
        let Ok(entry) = accept(octets, asked, &Open, NOW) else { continue };
        assert!(entry.head().life_secs <= MOST_LIFE_SECS);
        for size in [None, Some((512, dnssec_ok)), Some((1232, dnssec_ok))] {
            let query = query(&in_case(7), rtype, size);
            for transport in [Transport::Udp, Transport::Tcp] {
                let reply = encoded(&entry, &query, transport, NOW);
                assert!(transport == Transport::Tcp || reply.len() <= 1232);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_hickory_builds_comes_back(case in case()) {
        comes_back(&case);
    }

    #[test]
    fn changed_replies_do_no_harm((rtype, octets) in mutated()) {
        survives(&octets, rtype);
    }

    #[test]
    fn random_octets_do_no_harm(octets in prop::collection::vec(any::<u8>(), 0..300), rtype: u16) {
        survives(&octets, rtype);
        // Behind a header and question that are right.
        let mut behind = vec![0, 0, 0x81, 0x80, 0, 1, 0, 2, 0, 1, 0, 1];
        behind.extend(in_case(0));
        behind.extend(rtype.to_be_bytes());
        behind.extend([0, 1]);
        behind.extend(&octets);
        survives(&behind, rtype);
    }
}
