//! The bearer token (RFC 6750) that opens the HTTP door.

use std::fmt;

use ring::digest;

/// Octets that a token must have at least: it is the only thing between a network and the registry.
pub const MIN_TOKEN_OCTETS: usize = 16;
/// Octets that a token may have at most: it comes in a header with every request.
pub const MAX_TOKEN_OCTETS: usize = 1024;

/// A token, of which only the SHA-256 stays in memory.
#[derive(Clone)]
pub struct Token([u8; digest::SHA256_OUTPUT_LEN]);

impl Token {
    /// A token as it is sent; the error says what a token must look like.
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
        Ok(Self(sha256(text.as_bytes())))
    }

    /// Whether `given` is the token, in a time that does not depend on where they differ.
    pub fn is(&self, given: &[u8]) -> bool {
        let difference =
            self.0.iter().zip(sha256(given)).fold(0, |sum, (ours, theirs)| sum | (ours ^ theirs));
        difference == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

fn sha256(octets: &[u8]) -> [u8; digest::SHA256_OUTPUT_LEN] {
    let mut sum = [0; digest::SHA256_OUTPUT_LEN];
    sum.copy_from_slice(digest::digest(&digest::SHA256, octets).as_ref());
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_and_visible() {
        for good in ["0123456789abcdef", "a+b/c=-_.~0123456", &"x".repeat(1024)] {
            assert!(Token::parse(good).unwrap().is(good.as_bytes()), "{good}");
        }
        for bad in ["", "0123456789abcde", "0123456789 abcdef", "0123456789abcdeé"] {
            assert!(Token::parse(bad).is_err(), "{bad}");
        }
        assert!(Token::parse(&"x".repeat(1025)).is_err());
    }

    #[test]
    fn only_the_whole_token_is_it() {
        let token = Token::parse("0123456789abcdef").unwrap();
        for other in ["", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeF"] {
            assert!(!token.is(other.as_bytes()), "{other}");
        }
        assert_eq!(format!("{token:?}"), "Token");
    }
}
