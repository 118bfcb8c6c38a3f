//! Keys by which tokens are checked, each with the one algorithm that it is for.

use std::fmt;

use p521::ecdsa::signature::Verifier as _;
use ring::{hmac, signature};
use spki::der::DecodePem as _;
use spki::{ObjectIdentifier, SubjectPublicKeyInfoOwned};
use tasker::config::Environment;
use tasker_types::JwtKeyValues;

use super::algorithm::Algorithm;

/// How many bytes a shared secret has at least.
const SECRET_BYTES: usize = 32;

/// How many bytes an RSA key of 2048 bits has at least, with its lengths and its exponent.
const RSA_BYTES: usize = 268;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

/// A key.
pub(super) struct Key {
    pub(super) kid: Option<String>,
    pub(super) algorithm: Algorithm,
    material: Material,
}

enum Material {
    Secret(hmac::Key),
    Public(signature::UnparsedPublicKey<Vec<u8>>),
    P521(Box<p521::ecdsa::VerifyingKey>),
}

/// Without the key itself.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// Reads a key, or says what is wrong with it, in words that follow its name.
    pub(super) fn read(values: &JwtKeyValues, environment: &Environment) -> Result<Self, String> {
        let algorithm = Algorithm::named(&values.algorithm)?;
        let bytes = bytes(values, environment)?;
        Ok(Self {
            kid: values.kid.clone(),
            algorithm,
            material: material(algorithm, &bytes)?,
        })
    }

    /// Tells whether the signature is that of the key, in a time that does not depend on where it differs.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            Material::Public(key) => key.verify(message, signature).is_ok(),
            Material::P521(key) => p521::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
        }
    }
}

fn bytes(values: &JwtKeyValues, environment: &Environment) -> Result<Vec<u8>, String> {
    match (&values.file, &values.env) {
        (Some(file), None) => {
            let bytes =
                std::fs::read(file).map_err(|error| format!("cannot read the file `{file}`: {error}"))?;
            // Editors end a file with a line break, which is no part of a secret.
            Ok(bytes.trim_ascii_end().to_vec())
        }
        (None, Some(name)) => {
            let value = environment.variable(name).and_then(|value| value.to_str());
            value
                .map(|value| value.as_bytes().to_vec())
                .ok_or_else(|| format!("is in the variable `{name}`, which is not set"))
        }
        (None, None) => Err("says with neither `file` nor `env` where the key is".to_owned()),
        (Some(_), Some(_)) => Err("says with both `file` and `env` where the key is".to_owned()),
    }
}

fn material(algorithm: Algorithm, bytes: &[u8]) -> Result<Material, String> {
    use Algorithm::{ES256, ES384, ES512, HS256, HS384, HS512, RS256, RS384, RS512};
    let secret = |algorithm| {
        if bytes.starts_with(b"-----BEGIN ") {
            return Err("is a key in PEM, which is no shared secret".to_owned());
        }
        match bytes.len() {
            SECRET_BYTES.. => Ok(Material::Secret(hmac::Key::new(algorithm, bytes))),
            length => Err(format!(
                "is a secret of {length} bytes, but it must have at least {SECRET_BYTES}"
            )),
        }
    };
    let ring = |verification: &'static dyn signature::VerificationAlgorithm, curve| {
        let key = public_key(bytes, algorithm, curve)?;
        Ok(Material::Public(signature::UnparsedPublicKey::new(
            verification,
            key,
        )))
    };
    match algorithm {
        HS256 => secret(hmac::HMAC_SHA256),
        HS384 => secret(hmac::HMAC_SHA384),
        HS512 => secret(hmac::HMAC_SHA512),
        RS256 => ring(&signature::RSA_PKCS1_2048_8192_SHA256, None),
        RS384 => ring(&signature::RSA_PKCS1_2048_8192_SHA384, None),
        RS512 => ring(&signature::RSA_PKCS1_2048_8192_SHA512, None),
        ES256 => ring(&signature::ECDSA_P256_SHA256_FIXED, Some(P256)),
        ES384 => ring(&signature::ECDSA_P384_SHA384_FIXED, Some(P384)),
        ES512 => {
            let point = public_key(bytes, algorithm, Some(P521))?;
            let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(&point)
                .map_err(|_| "is no point of the curve of ES512".to_owned())?;
            Ok(Material::P521(Box::new(key)))
        }
    }
}

/// Returns what is within a public key in PEM, which must be an RSA key or on this curve.
fn public_key(pem: &[u8], algorithm: Algorithm, curve: Option<ObjectIdentifier>) -> Result<Vec<u8>, String> {
    let key = SubjectPublicKeyInfoOwned::from_pem(pem)
        .map_err(|_| "is no public key in PEM (`-----BEGIN PUBLIC KEY-----`)".to_owned())?;
    let found = key
        .algorithm
        .parameters
        .as_ref()
        .and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok());
    let fits = match curve {
        None => key.algorithm.oid == RSA,
        Some(_) => key.algorithm.oid == EC && found == curve,
    };
    if !fits {
        return Err(format!("is a public key, but none for {}", algorithm.name()));
    }
    let bytes = key.subject_public_key.raw_bytes();
    if curve.is_none() && bytes.len() < RSA_BYTES {
        return Err("is an RSA key of fewer than 2048 bits".to_owned());
    }
    Ok(bytes.to_vec())
}
