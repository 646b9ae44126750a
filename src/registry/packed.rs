//! Parts of an instance, each in as little memory as it needs: there are millions of them.

use std::fmt;
use std::net::IpAddr;
use std::ops::{Deref, DerefMut};

use super::instance::{MAX_META_OCTETS, MAX_TAGS, check_count};
use super::names::{Invalid, MAX_TAG_OCTETS, Tag, check_text, has_control};

/// Addresses in the order given. Most instances have one, which lies here.
#[derive(Clone, PartialEq, Eq)]
pub struct Addresses(Few);

#[derive(Clone, PartialEq, Eq)]
enum Few {
    One(IpAddr),
    Other(Box<[IpAddr]>),
}

impl Deref for Addresses {
    type Target = [IpAddr];

    fn deref(&self) -> &[IpAddr] {
        match &self.0 {
            Few::One(address) => std::slice::from_ref(address),
            Few::Other(addresses) => addresses,
        }
    }
}

impl DerefMut for Addresses {
    fn deref_mut(&mut self) -> &mut [IpAddr] {
        match &mut self.0 {
            Few::One(address) => std::slice::from_mut(address),
            Few::Other(addresses) => addresses,
        }
    }
}

impl From<Vec<IpAddr>> for Addresses {
    fn from(addresses: Vec<IpAddr>) -> Self {
        Self(match *addresses {
            [address] => Few::One(address),
            _ => Few::Other(addresses.into()),
        })
    }
}

impl Default for Addresses {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl FromIterator<IpAddr> for Addresses {
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Self {
        addresses.into_iter().collect::<Vec<_>>().into()
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Version, tags and metadata: one text of a line each, for none of them holds a control character.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Texts(Box<str>);

/// Between version, tags and metadata.
const PART: &str = "\x1f";

impl Texts {
    /// Tags and keys in their order, each tag once; the error names the field `tags`, `meta` or a key of that.
    pub fn new<T: AsRef<str>>(
        version: Option<&Tag>,
        mut tags: Vec<Tag>,
        meta: impl IntoIterator<Item = (T, T)>,
    ) -> Result<Self, Invalid> {
        check_count("tags", tags.len(), MAX_TAGS)?;
        tags.sort();
        tags.dedup();
        let mut meta: Vec<_> = meta.into_iter().collect();
        meta.sort_by(|(one, _), (other, _)| one.as_ref().cmp(other.as_ref()));
        check(meta.iter().map(|(key, value)| (key.as_ref(), value.as_ref())))?;
        let tags: Vec<_> = tags.iter().map(Tag::as_str).collect();
        let meta: Vec<_> =
            meta.iter().flat_map(|(key, value)| [key.as_ref(), value.as_ref()]).collect();
        Ok(Self::of(version.map(Tag::as_str), &tags.join("\n"), &meta.join("\n")))
    }

    /// What [`version`](Self::version), [`tag_lines`](Self::tag_lines) and [`meta_lines`](Self::meta_lines) gave; the error's
    /// field is `version`, `tags` or as `meta`.
    pub fn stored(version: Option<&str>, tags: &str, meta: &str) -> Result<Self, Invalid> {
        let version = version.map(|version| Tag::parse("version", version)).transpose()?;
        let (mut in_order, mut before) = (true, None);
        for tag in lines(tags) {
            check_text("tags", tag, MAX_TAG_OCTETS)?;
            in_order &= before.replace(tag) < Some(tag);
        }
        if !meta.is_empty() && meta.bytes().filter(|octet| *octet == b'\n').count() % 2 == 0 {
            let last = meta.rsplit('\n').next().unwrap_or_default().escape_debug();
            return Err(Invalid::new("meta", format!("`{last}` is not followed by a value")));
        }
        in_order &= pairs(meta).is_sorted_by(|(one, _), (next, _)| one < next);
        if !in_order || lines(tags).count() > MAX_TAGS {
            let tags = lines(tags).map(|tag| Tag::parse("tags", tag)).collect::<Result<_, _>>()?;
            return Self::new(version.as_ref(), tags, pairs(meta));
        }
        check(pairs(meta))?;
        Ok(Self::of(version.as_ref().map(Tag::as_str), tags, meta))
    }

    fn of(version: Option<&str>, tags: &str, meta: &str) -> Self {
        let version = version.unwrap_or_default();
        if version.is_empty() && tags.is_empty() && meta.is_empty() {
            return Self::default();
        }
        Self([version, tags, meta].join(PART).into())
    }

    fn part(&self, part: usize) -> &str {
        self.0.split(PART).nth(part).unwrap_or_default()
    }

    /// The version.
    pub fn version(&self) -> Option<&str> {
        Some(self.part(0)).filter(|version| !version.is_empty())
    }

    /// The tags, one a line.
    pub fn tag_lines(&self) -> &str {
        self.part(1)
    }

    /// The tags, sorted, distinct.
    pub fn tags(&self) -> impl Iterator<Item = &str> + Clone {
        lines(self.tag_lines())
    }

    /// Keys and values of the metadata in turn, one a line.
    pub fn meta_lines(&self) -> &str {
        self.part(2)
    }

    /// Keys of the metadata with their values, sorted by key.
    pub fn meta(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        pairs(self.meta_lines())
    }
}

/// Octets that an origin may have at most, what its door keeps included.
pub const MAX_ORIGIN_OCTETS: usize = 8 * 1024;

/// By which door an instance was registered, and what that door keeps with it for its own replies: text that nobody else
/// reads. Mostly it is the native API or a datagram, which keep nothing and need no more than a pointer.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Origin(Option<Box<Given>>);

impl Origin {
    /// An origin at `door`, a word; the error names the field `origin`.
    pub fn new(door: &str, kept: &str) -> Result<Self, Invalid> {
        Self::stored(&format!("{door} {kept}"))
    }

    /// What [`as_str`](Self::as_str) gave.
    pub fn stored(text: &str) -> Result<Self, Invalid> {
        if text.len() > MAX_ORIGIN_OCTETS {
            let reason = format!("has {} octets, may have {MAX_ORIGIN_OCTETS}", text.len());
            return Err(Invalid::new("origin", reason));
        }
        Ok(Self((!text.is_empty()).then(|| Box::new(Given(text.into())))))
    }

    /// All of it as one text; empty: native.
    pub fn as_str(&self) -> &str {
        self.0.as_ref().map_or("", |given| &given.0)
    }

    /// The door.
    pub fn door(&self) -> &str {
        match self.as_str().split_once(' ') {
            Some((door, _)) => door,
            None => "native",
        }
    }

    /// What a door keeps, if it is the one by which the instance came.
    pub fn kept_by(&self, door: &str) -> Option<&str> {
        let (its, kept) = self.as_str().split_once(' ')?;
        (its == door).then_some(kept)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// A reason in the words of who gave it; mostly there is none, which needs no more than a pointer.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Reason(Option<Box<Given>>);

#[derive(Clone, PartialEq, Eq)]
struct Given(Box<str>);

impl Deref for Reason {
    type Target = str;

    fn deref(&self) -> &str {
        self.0.as_ref().map_or("", |given| &given.0)
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        Self((!text.is_empty()).then(|| Box::new(Given(text.into()))))
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Checks metadata that is sorted by key.
fn check<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<(), Invalid> {
    let field = |key: &str| format!("meta.{}", key.escape_debug());
    let (mut octets, mut before) = (0, None);
    for (key, value) in pairs {
        if key.is_empty() || has_control(key) || has_control(value) {
            let reason = "needs a key, and must not hold control characters";
            return Err(Invalid::new(field(key), reason));
        }
        if before.replace(key) == Some(key) {
            return Err(Invalid::new(field(key), "is given twice"));
        }
        octets += key.len() + value.len();
    }
    if octets > MAX_META_OCTETS {
        let reason = format!("has {octets} octets, may have {MAX_META_OCTETS}");
        return Err(Invalid::new("meta", reason));
    }
    Ok(())
}

/// The lines of a text; the empty one has none.
fn lines(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split('\n').filter(move |_| !text.is_empty())
}

fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> + Clone {
    let mut lines = lines(text);
    std::iter::from_fn(move || Some((lines.next()?, lines.next()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_lies_in_its_list() {
        let address = |last| IpAddr::from([10, 0, 0, last]);
        for count in 0..4 {
            let expected: Vec<_> = (0..count).map(address).collect();
            assert_eq!(*Addresses::from(expected.clone()), *expected);
        }
        assert_eq!(size_of::<Addresses>(), 24);
    }

    fn texts(
        version: Option<&str>,
        tags: &[&str],
        meta: &[(&str, &str)],
    ) -> Result<Texts, Invalid> {
        let tag = |text: &str| Tag::parse("tags", text).unwrap();
        let tags = tags.iter().map(|text| tag(text)).collect();
        Texts::new(version.map(tag).as_ref(), tags, meta.iter().copied())
    }

    #[test]
    fn texts_have_one_order_and_come_back() {
        for (version, tags, tag_lines, meta, meta_lines) in [
            (None, &[][..], "", &[][..], ""),
            (Some("2.1"), &[], "", &[], ""),
            (None, &["b", "a", "b"], "a\nb", &[], ""),
            (Some("1"), &["é x"], "é x", &[("b", ""), ("a", "1")], "a\n1\nb\n"),
        ] {
            let texts = texts(version, tags, meta).unwrap();
            assert_eq!((texts.version(), texts.tag_lines()), (version, tag_lines));
            assert_eq!(texts.meta_lines(), meta_lines);
            assert_eq!(texts.tags().collect::<Vec<_>>().join("\n"), tag_lines);
            assert_eq!(texts.meta().count(), meta.len());
            assert_eq!(Texts::stored(version, tag_lines, meta_lines), Ok(texts));
        }
        let sorted = texts(None, &["a", "b"], &[("a", "1"), ("b", "")]).unwrap();
        assert_eq!(Texts::stored(None, "b\na\nb", "b\n\na\n1"), Ok(sorted));
    }

    #[test]
    fn an_origin_is_a_door_and_what_it_keeps() {
        let origin = Origin::new("eureka", r#"{"a b":1}"#).unwrap();
        assert_eq!((origin.door(), origin.kept_by("eureka")), ("eureka", Some(r#"{"a b":1}"#)));
        assert_eq!(origin.kept_by("consul"), None);
        assert_eq!(Origin::stored(origin.as_str()), Ok(origin));
        let native = Origin::default();
        assert_eq!(
            (native.door(), native.kept_by("native"), native.as_str()),
            ("native", None, "")
        );
        assert_eq!(size_of::<Origin>(), size_of::<usize>());
        assert_eq!(Origin::new("x", &"y".repeat(MAX_ORIGIN_OCTETS)).unwrap_err().field, "origin");
    }

    #[test]
    fn texts_that_cannot_be_are_named() {
        let many = (0..=MAX_TAGS).map(|n| format!("{n:03}")).collect::<Vec<_>>().join("\n");
        for bad in ["a\n\nb", "a\n", "\ta", "a\x1fb", &many] {
            assert_eq!(Texts::stored(None, bad, "").unwrap_err().field, "tags", "{bad:?}");
        }
        for bad in ["a", "a\n1\nb", "a\n1\na\n2", "\n1", "a\n\t", "b\n\na\n1\nb\n", "a\n\x1f"] {
            let error = Texts::stored(None, "", bad).unwrap_err();
            assert!(error.field.starts_with("meta"), "{bad:?}");
        }
        assert_eq!(texts(None, &[], &[("", "x")]).unwrap_err().field, "meta.");
        let long = "x".repeat(MAX_META_OCTETS);
        assert_eq!(texts(None, &[], &[("k", &long)]).unwrap_err().field, "meta");
    }
}
