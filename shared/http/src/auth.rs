//! Who is asking: a token in any of its three forms.

use axum::extract::FromRequestParts;
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use willcall_core::{account::Caller, usecases::authenticate::authenticate};

use crate::{observe::Asker, problem::Failure, routes::Api};

/// The caller behind the request's token.
pub(crate) struct Authenticated(pub(crate) Caller);

impl FromRequestParts<Api> for Authenticated {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Failure> {
        let token = token(&parts.headers).map_err(Failure::unauthenticated)?;
        let caller = authenticate(&api.app, token.as_deref()).await?;
        if let Some(asker) = parts.extensions.get::<Asker>() {
            // A request has one caller: the place is empty.
            let _ = asker.0.set(caller.account.id.clone());
        }
        Ok(Self(caller))
    }
}

/// The one token that the headers give, in whatever form and however often.
fn token(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    let mut found: Option<String> = None;
    let authorizations = headers.get_all(header::AUTHORIZATION).iter().map(authorization);
    let keys = headers.get_all("x-api-key").iter().map(|value| {
        value.to_str().map(|key| key.trim().to_owned()).map_err(|_| "x-api-key holds more than ASCII text")
    });
    for token in authorizations.chain(keys) {
        let token = token?;
        match &found {
            Some(other) if *other != token => {
                return Err("the request gives several tokens, and they differ");
            }
            _ => found = Some(token),
        }
    }
    Ok(found)
}

fn authorization(value: &HeaderValue) -> Result<String, &'static str> {
    let text = value.to_str().map_err(|_| "Authorization holds more than ASCII text")?.trim();
    let (scheme, rest) = text.split_once(' ').ok_or("Authorization has no scheme: write Bearer TOKEN")?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(rest.to_owned())
    } else if scheme.eq_ignore_ascii_case("basic") {
        const MALFORMED: &str = "Authorization: Basic is malformed";
        let bytes = BASE64_STANDARD.decode(rest).map_err(|_| MALFORMED)?;
        let pair = String::from_utf8(bytes).map_err(|_| MALFORMED)?;
        match pair.split_once(':') {
            Some((user, "")) => Ok(user.to_owned()),
            Some(_) => Err("with HTTP Basic the token is the user name, and the password must be empty"),
            None => Err(MALFORMED),
        }
    } else {
        Err("the scheme of Authorization must be Bearer or Basic")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn three_forms_give_the_same_token() {
        let basic = format!("bAsIc {}", BASE64_STANDARD.encode("T:"));
        for pairs in [
            vec![("authorization", "Bearer T")],
            vec![("authorization", "bEARER   T ")],
            vec![("authorization", basic.as_str())],
            vec![("x-api-key", "T")],
            vec![("x-api-key", "T"), ("authorization", "Bearer T")],
        ] {
            assert_eq!(token(&headers(&pairs)), Ok(Some("T".to_owned())), "{pairs:?}");
        }
        assert_eq!(token(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn malformed_and_differing_tokens_are_refused() {
        let password = format!("Basic {}", BASE64_STANDARD.encode("T:secret"));
        let no_colon = format!("Basic {}", BASE64_STANDARD.encode("T"));
        for pairs in [
            vec![("authorization", password.as_str())],
            vec![("authorization", no_colon.as_str())],
            vec![("authorization", "Basic !!!")],
            vec![("authorization", "Digest x")],
            vec![("authorization", "T")],
            vec![("authorization", "Bearer T"), ("authorization", "Bearer U")],
            vec![("authorization", "Bearer T"), ("x-api-key", "U")],
        ] {
            assert!(token(&headers(&pairs)).is_err(), "{pairs:?}");
        }
    }
}
