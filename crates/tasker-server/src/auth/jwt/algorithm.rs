//! How tokens are signed.

/// A way to sign tokens. Each key has one, and a token that says another is refused.
///
/// The names of the variants are those of the standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// HMAC with SHA-256.
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
    /// RSA (PKCS #1 v1.5) with SHA-256.
    RS256,
    /// RSA (PKCS #1 v1.5) with SHA-384.
    RS384,
    /// RSA (PKCS #1 v1.5) with SHA-512.
    RS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// ECDSA on P-521 with SHA-512.
    ES512,
}

impl Algorithm {
    const ALL: [(&str, Self); 9] = [
        ("HS256", Self::HS256),
        ("HS384", Self::HS384),
        ("HS512", Self::HS512),
        ("RS256", Self::RS256),
        ("RS384", Self::RS384),
        ("RS512", Self::RS512),
        ("ES256", Self::ES256),
        ("ES384", Self::ES384),
        ("ES512", Self::ES512),
    ];

    /// Finds an algorithm by its name, or says what there is, in words that follow the name of the key.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        if name.is_empty() {
            return Err("does not say its `algorithm`".to_owned());
        }
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, algorithm)| *algorithm).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|(name, _)| *name).collect();
            format!(
                "has the `algorithm` `{name}`, but there are only `{}`",
                known.join("`, `")
            )
        })
    }

    /// Returns the name as headers of tokens spell it.
    pub(super) fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, algorithm)| *algorithm == self);
        found.map_or("", |(name, _)| name)
    }
}
