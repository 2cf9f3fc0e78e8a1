//! Makes the access key of the emulated AWS, and checks requests that are signed with it ("Create a signed AWS API request", AWS
//! Identity and Access Management User Guide).

use std::{collections::BTreeMap, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The characters of a path that are encoded: all but the unreserved ones and the slash.
const PATH: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// The largest difference between the time of a signature and now.
const MAX_SKEW: Duration = Duration::from_mins(15);

/// An access key. The program accepts requests that are signed with its own, and no other.
#[derive(Clone, Serialize, Deserialize)]
pub struct AccessKey {
    pub id: String,
    pub secret: String,
}

/// A request whose signature is checked.
pub struct SignedRequest<'a> {
    pub method: &'a str,
    /// Percent-encoded.
    pub path: &'a str,
    pub query: &'a str,
    /// By lower-case name.
    pub headers: &'a BTreeMap<String, String>,
    pub body: &'a [u8],
}

/// The reason for which a request is refused, in AWS's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureError {
    MissingSignature,
    UnknownKey,
    /// The request was signed too long ago, or in the future.
    WrongTime,
    WrongSignature,
}

/// The parts of the header `Authorization`.
struct Authorization<'a> {
    scope: &'a str,
    signed: &'a str,
    signature: &'a str,
}

impl AccessKey {
    /// A new random key.
    ///
    /// # Errors
    /// The operating system gives no random bytes.
    pub fn generate() -> runvoy_core::Result<Self> {
        let text = runvoy_core::random::random_text::<15>()?.to_ascii_uppercase();
        let id = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { 'X' }).collect::<String>();
        Ok(Self { id: format!("RUNVOY{id}"), secret: runvoy_core::random::random_text::<30>()? })
    }

    /// Checks what can be checked before the body of a request is read: that it names this key, and was signed in the last minutes.
    ///
    /// # Errors
    /// The part of the check that fails.
    pub fn check_head(&self, headers: &BTreeMap<String, String>, now: Timestamp) -> Result<(), SignatureError> {
        let authorization = self.authorization(headers)?;
        let date = headers.get("x-amz-date").ok_or(SignatureError::WrongSignature)?;
        let at = DateTime::strptime("%Y%m%dT%H%M%SZ", date).and_then(|at| TimeZone::UTC.to_timestamp(at));
        let at = at.map_err(|_| SignatureError::WrongSignature)?;
        if now.duration_since(at).unsigned_abs() > MAX_SKEW {
            return Err(SignatureError::WrongTime);
        }
        // The signing key is made of the day that the scope names.
        if authorization.scope.split('/').next() == date.get(..8) {
            Ok(())
        } else {
            Err(SignatureError::WrongSignature)
        }
    }

    /// Checks that a request is signed with this key.
    ///
    /// # Errors
    /// The part of the check that fails.
    pub fn check(&self, request: &SignedRequest<'_>) -> Result<(), SignatureError> {
        let Authorization { scope, signed, signature } = self.authorization(request.headers)?;
        let expected = self.sign(request, scope, signed).ok_or(SignatureError::WrongSignature)?;
        let given = hex::decode(signature).map_err(|_| SignatureError::WrongSignature)?;
        expected.verify_slice(&given).map_err(|_| SignatureError::WrongSignature)
    }

    fn authorization<'a>(&self, headers: &'a BTreeMap<String, String>) -> Result<Authorization<'a>, SignatureError> {
        let authorization = headers.get("authorization").ok_or(SignatureError::MissingSignature)?;
        let parts = authorization.strip_prefix("AWS4-HMAC-SHA256").ok_or(SignatureError::MissingSignature)?;
        let part = |name: &str| parts.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        let (Some(credential), Some(signed), Some(signature)) =
            (part("Credential"), part("SignedHeaders"), part("Signature"))
        else {
            return Err(SignatureError::MissingSignature);
        };
        let (id, scope) = credential.split_once('/').ok_or(SignatureError::MissingSignature)?;
        if id == self.id { Ok(Authorization { scope, signed, signature }) } else { Err(SignatureError::UnknownKey) }
    }

    fn sign(&self, request: &SignedRequest<'_>, scope: &str, signed: &str) -> Option<Hmac<Sha256>> {
        let time = request.headers.get("x-amz-date")?;
        let headers: String = signed
            .split(';')
            .map(|name| {
                let value = request.headers.get(name).map(String::as_str).unwrap_or_default();
                format!("{name}:{}\n", value.split_whitespace().collect::<Vec<_>>().join(" "))
            })
            .collect();
        let payload = match request.headers.get("x-amz-content-sha256").map(String::as_str) {
            Some("UNSIGNED-PAYLOAD") => "UNSIGNED-PAYLOAD".to_owned(),
            _ => hex::encode(Sha256::digest(request.body)),
        };
        let mut query: Vec<&str> = request.query.split('&').filter(|pair| !pair.is_empty()).collect();
        query.sort_unstable();
        let query: Vec<String> =
            query.iter().map(|pair| if pair.contains('=') { (*pair).to_owned() } else { format!("{pair}=") }).collect();
        // Every service but S3 encodes the path of the request once more.
        let path = percent_encoding::utf8_percent_encode(request.path, PATH);
        let canonical = format!("{}\n{path}\n{}\n{headers}\n{signed}\n{payload}", request.method, query.join("&"));
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in scope.split('/') {
            key = mac(&key, part.as_bytes())?.finalize().into_bytes().to_vec();
        }
        mac(&key, text.as_bytes())
    }
}

fn mac(key: &[u8], text: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(text);
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example get-vanilla of AWS's "Signature Version 4 test suite".
    #[test]
    fn the_signature_of_awss_own_example_is_accepted_and_a_changed_request_is_not() {
        let key =
            AccessKey { id: "AKIDEXAMPLE".to_owned(), secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned() };
        let headers = BTreeMap::from([
            ("host".to_owned(), "example.amazonaws.com".to_owned()),
            ("x-amz-date".to_owned(), "20150830T123600Z".to_owned()),
            (
                "authorization".to_owned(),
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders=host;x-amz-date, \
                 Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
                    .to_owned(),
            ),
        ]);
        let at = |time: &str| key.check_head(&headers, time.parse().unwrap());
        assert_eq!((at("2015-08-30T12:51:00Z"), at("2015-08-30T12:21:00Z")), (Ok(()), Ok(())));
        for time in ["2015-08-30T12:51:01Z", "2015-08-30T12:20:59Z", "2026-01-01T00:00:00Z"] {
            assert_eq!(at(time), Err(SignatureError::WrongTime), "{time}");
        }
        let request = |method| SignedRequest { method, path: "/", query: "", headers: &headers, body: b"" };
        assert_eq!(key.check(&request("GET")), Ok(()));
        assert_eq!(key.check(&request("POST")), Err(SignatureError::WrongSignature));
        let other = AccessKey { id: "OTHER".to_owned(), ..key.clone() };
        assert_eq!(other.check(&request("GET")), Err(SignatureError::UnknownKey));
        let unsigned = SignedRequest { headers: &BTreeMap::new(), ..request("GET") };
        assert_eq!(key.check(&unsigned), Err(SignatureError::MissingSignature));
    }
}
