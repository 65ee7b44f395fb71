//! Signatures as Standard Webhooks 1.0 has them.

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use willcall_core::webhook::Secret;

/// The value of `webhook-signature`: one signature for each secret, so that a receiver that knows any of them is content.
/// `timestamp` is in seconds.
pub fn signature(secrets: &[Secret], id: &str, timestamp: i64, content: &str) -> String {
    let one = |secret: &Secret| {
        // A key of any length is a key.
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.key()).ok()?;
        for part in [id, ".", &timestamp.to_string(), ".", content] {
            mac.update(part.as_bytes());
        }
        Some(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
    };
    secrets.iter().filter_map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_is_signed_alike() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", r#"{"test": 2432232314}"#);
        let signed = signature(std::slice::from_ref(&secret), id, 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let both = signature(&[Secret::generate().unwrap(), secret], id, 1_614_265_330, body);
        assert!(both.ends_with(&format!(" {signed}")) && both.matches("v1,").count() == 2, "{both}");
    }
}
