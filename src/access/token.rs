//! Bearer tokens (RFC 6750), of which only the SHA-256 is kept.

use std::fmt;

use ring::digest;

/// Octets that a token from a file must have at least: it is the only thing between a network and the registry.
pub const MIN_TOKEN_OCTETS: usize = 16;
/// Octets that a token may have at most: it comes in a header with every request.
pub const MAX_TOKEN_OCTETS: usize = 1024;
/// What a token begins with that was made here, so that one who finds it, or a scanner, knows what it is.
pub const TOKEN_PREFIX: &str = "rct_";
/// Octets of a secret that is made here: as many as SHA-256 gives strength to.
pub const SECRET_OCTETS: usize = 32;
/// Hexadecimal digits of a token's id: enough that those of one server differ.
const ID_DIGITS: usize = 12;

/// A token's SHA-256. It is looked up as it is: who can choose what it looks for does not choose this.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; digest::SHA256_OUTPUT_LEN]);

impl TokenHash {
    /// That of a token as it is sent.
    pub fn of(token: &[u8]) -> Self {
        let mut sum = [0; digest::SHA256_OUTPUT_LEN];
        sum.copy_from_slice(digest::digest(&digest::SHA256, token).as_ref());
        Self(sum)
    }

    /// One that was stored.
    pub fn stored(octets: [u8; SECRET_OCTETS]) -> Self {
        Self(octets)
    }

    /// As it is stored.
    pub fn octets(&self) -> &[u8; SECRET_OCTETS] {
        &self.0
    }

    /// What the token is called where it is listed and revoked. It says nothing about the token.
    pub fn id(&self) -> Box<str> {
        let digits = hex(&self.0);
        digits.get(..ID_DIGITS).unwrap_or_default().into()
    }

    /// That of a token that somebody chose; the error says what a token must look like.
    pub fn parse(text: &str) -> Result<Self, String> {
        let length = text.len();
        if !(MIN_TOKEN_OCTETS..=MAX_TOKEN_OCTETS).contains(&length) {
            return Err(format!(
                "a token must have {MIN_TOKEN_OCTETS} to {MAX_TOKEN_OCTETS} characters, this one \
                 has {length}: `openssl rand -hex 32` makes a good one"
            ));
        }
        if !text.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err("a token must be visible ASCII characters without spaces".into());
        }
        Ok(Self::of(text.as_bytes()))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({})", self.id())
    }
}

/// The token that these random octets make.
pub fn token_of(random: &[u8; SECRET_OCTETS]) -> String {
    format!("{TOKEN_PREFIX}{}", hex(random))
}

/// Octets as hexadecimal digits.
pub fn hex(octets: &[u8]) -> String {
    use fmt::Write;
    octets.iter().fold(String::with_capacity(2 * octets.len()), |mut text, octet| {
        let _ = write!(text, "{octet:02x}"); // a String takes everything
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_and_visible() {
        for good in ["0123456789abcdef", "a+b/c=-_.~0123456", &"x".repeat(1024)] {
            assert_eq!(TokenHash::parse(good).unwrap(), TokenHash::of(good.as_bytes()), "{good}");
        }
        for bad in ["", "0123456789abcde", "0123456789 abcdef", "0123456789abcdeé"] {
            assert!(TokenHash::parse(bad).is_err(), "{bad}");
        }
        assert!(TokenHash::parse(&"x".repeat(1025)).is_err());
    }

    #[test]
    fn a_made_token_is_known_by_its_beginning_and_listed_by_an_id_that_tells_nothing() {
        let token = token_of(&[0xa5; SECRET_OCTETS]);
        assert_eq!(token, format!("rct_{}", "a5".repeat(32)));
        let hash = TokenHash::parse(&token).unwrap();
        assert_eq!(hash.id().len(), ID_DIGITS);
        assert!(!token.contains(&*hash.id()));
        assert_eq!(TokenHash::stored(*hash.octets()), hash);
        assert_eq!(format!("{hash:?}"), format!("TokenHash({})", hash.id()));
    }
}
