//! Names: what a service, an instance, a label, a tag or a named port may be called.
//!
//! Everything here is parsed once, at a door; inside, a value of one of these types is valid.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use ring::digest;

/// Octets that a service name may have at most: one DNS label with room for the `_` of `_web._tcp`.
pub const MAX_SERVICE_OCTETS: usize = 62;
/// Octets that an instance id may have at most.
pub const MAX_ID_OCTETS: usize = 255;
/// Octets that a DNS label may have at most (RFC 1035, section 2.3.4).
pub const MAX_LABEL_OCTETS: usize = 63;
/// Octets that a tag or a version may have at most.
pub const MAX_TAG_OCTETS: usize = 255;
/// Octets of an id that its slug keeps at most: the label stays readable and the hash fits beside it.
const MAX_SLUG_OCTETS: usize = 48;
/// Names that clients look up on their own account in any search domain; a service must not answer them.
pub const RESERVED: [&str; 5] = ["dns-sd", "isatap", "localhost", "ns", "wpad"];

/// A value that a door was given and that cannot be: which field, and why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The field as the door's user wrote it, such as `addresses[1]`.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub reason: String,
}

impl Invalid {
    /// An error about `field`.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

impl std::error::Error for Invalid {}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A service's name: one LDH label of at most 62 octets, in lower case, none of [`RESERVED`].
    ServiceName
}
name! {
    /// An instance's id: opaque text of 1 to 255 octets without control characters.
    InstanceId
}
name! {
    /// The DNS label that stands for an instance; unique in its service.
    Label
}
name! {
    /// A tag or a version: text of 1 to 255 octets without control characters.
    Tag
}
name! {
    /// The name of a further port: one LDH label of at most 62 octets, in lower case.
    PortName
}

impl ServiceName {
    /// Parses a service name; the error names the field `service`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        check_ldh("service", text)?;
        if RESERVED.contains(&text) {
            let all = RESERVED.join(", ");
            return Err(Invalid::new("service", format!("`{text}` is reserved ({all})")));
        }
        Ok(Self(text.into()))
    }
}

impl Tag {
    /// A tag of a text that was one.
    pub(super) fn of(text: &str) -> Self {
        Self(text.into())
    }
}

impl InstanceId {
    /// Parses an instance id; the error names the field `id`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        check_text("id", text, MAX_ID_OCTETS)?;
        Ok(Self(text.into()))
    }
}

impl Tag {
    /// Parses a tag or version given in `field`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Invalid> {
        check_text(field, text, MAX_TAG_OCTETS)?;
        Ok(Self(text.into()))
    }

    /// The label under which the tag's instances are found: see [`tag_label`].
    pub fn label(&self) -> Option<Cow<'_, str>> {
        tag_label(&self.0)
    }
}

/// The label under which a tag's instances are found: what does not fit into a label becomes `-`.
/// `None` if nothing is left, or too much for a label: such a tag is data only.
pub fn tag_label(tag: &str) -> Option<Cow<'_, str>> {
    if is_ldh_label(tag) {
        return Some(tag.into());
    }
    let mapped: String =
        tag.chars().map(|c| if is_ldh(c) { c.to_ascii_lowercase() } else { '-' }).collect();
    let label = mapped.trim_matches('-');
    (!label.is_empty() && label.len() <= MAX_LABEL_OCTETS).then(|| label.to_owned().into())
}

impl PortName {
    /// Parses a port's name given in `field`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Invalid> {
        check_ldh(field, text)?;
        Ok(Self(text.into()))
    }
}

impl Label {
    /// Shares the text of an id that says the same.
    pub(super) fn share(&mut self, id: &InstanceId) {
        if self.0 == id.0 {
            self.0.clone_from(&id.0);
        }
    }

    /// The label of `id` as the store kept it.
    pub fn stored(id: &InstanceId, text: &str) -> Result<Self, Invalid> {
        if !is_ldh_label(text) {
            return Err(Invalid::new("label", format!("`{text}` is not a label")));
        }
        Ok(Self(if id.as_str() == text { id.0.clone() } else { text.into() }))
    }

    /// The labels that may stand for `id`, best first: the id itself if it is an LDH label in lower case, then
    /// a slug of it with a hash. They depend on nothing but the id, so an instance keeps its label.
    pub fn candidates(id: &InstanceId) -> impl Iterator<Item = Label> + '_ {
        let itself = is_ldh_label(id.as_str()).then(|| Label(id.0.clone()));
        itself
            .into_iter()
            .chain((0_u8..8).map(|attempt| Label(slug_and_hash(id.as_str(), attempt).into())))
    }
}

/// `Web Server #1` becomes `web-server-1-` and eight hexadecimal digits.
fn slug_and_hash(id: &str, attempt: u8) -> String {
    let mut slug = String::new();
    for c in id.chars() {
        if slug.len() >= MAX_SLUG_OCTETS {
            break;
        }
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    if !slug.is_empty() && !slug.ends_with('-') {
        slug.push('-');
    }
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&[attempt]);
    context.update(id.as_bytes());
    let hash = context.finish();
    for byte in &hash.as_ref()[..4] {
        use fmt::Write;
        let _ = write!(slug, "{byte:02x}");
    }
    slug
}

fn check_ldh(field: &str, text: &str) -> Result<(), Invalid> {
    if text.is_empty() || text.len() > MAX_SERVICE_OCTETS {
        let length = text.len();
        return Err(Invalid::new(
            field,
            format!("has {length} octets, must have 1 to {MAX_SERVICE_OCTETS}"),
        ));
    }
    if is_ldh_label(text) {
        return Ok(());
    }
    let lower = text.to_ascii_lowercase();
    if is_ldh_label(&lower) {
        return Err(Invalid::new(field, format!("`{text}` must be lower case: `{lower}`")));
    }
    let shown = text.escape_debug();
    Err(Invalid::new(
        field,
        format!("`{shown}` must be letters, digits and inner hyphens only, as a DNS label is"),
    ))
}

pub(super) fn check_text(field: &str, text: &str, most: usize) -> Result<(), Invalid> {
    if text.is_empty() || text.len() > most {
        return Err(Invalid::new(
            field,
            format!("has {} octets, must have 1 to {most}", text.len()),
        ));
    }
    if has_control(text) {
        return Err(Invalid::new(field, "must not hold control characters"));
    }
    Ok(())
}

/// Whether a text holds a control character.
pub(super) fn has_control(text: &str) -> bool {
    if text.is_ascii() {
        text.bytes().any(|octet| octet.is_ascii_control())
    } else {
        text.chars().any(char::is_control)
    }
}

fn is_ldh(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-'
}

/// True for one LDH label in lower case (RFC 5890, section 2.3.1): no hyphen at either end.
fn is_ldh_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_LABEL_OCTETS
        && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(id: &str) -> Vec<String> {
        let id = InstanceId::parse(id).unwrap();
        Label::candidates(&id).take(2).map(|l| l.to_string()).collect()
    }

    #[test]
    fn an_id_that_is_a_label_stands_for_itself() {
        assert_eq!(labels("web-1")[0], "web-1");
    }

    #[test]
    fn another_id_becomes_slug_and_hash() {
        let label = &labels("Web Server #1 (blue)")[0];
        assert!(label.starts_with("web-server-1-blue-"), "{label}");
        assert_eq!(label.len(), "web-server-1-blue-".len() + 8);
        assert_ne!(labels("WEB-1")[0], labels("web-1")[0]);
        assert!(labels("???")[0].len() == 8 && is_ldh_label(&labels("???")[0]));
        assert!(is_ldh_label(&labels(&"x y".repeat(80))[0]));
    }

    #[test]
    fn service_names_are_ldh_labels() {
        for good in ["web", "a", "0", "web-2", &"x".repeat(62)] {
            assert!(ServiceName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-web", "web-", "we_b", "we.b", "ns", "localhost", "wéb", &"x".repeat(63)]
        {
            assert!(ServiceName::parse(bad).is_err(), "{bad}");
        }
        assert!(ServiceName::parse("Web").unwrap_err().reason.contains("`web`"));
    }

    #[test]
    fn tags_are_reached_with_hyphens() {
        let label = |tag: &str| tag_label(tag).map(String::from);
        assert_eq!(label("2.1.0").as_deref(), Some("2-1-0"));
        assert_eq!(label("Blue").as_deref(), Some("blue"));
        assert_eq!(label("..."), None);
        assert_eq!(label(&"x".repeat(64)), None);
    }
}
